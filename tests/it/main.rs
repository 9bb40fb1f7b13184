//! Tests of the whole program and of its parts against real neighbours, in one binary.

#![allow(clippy::unwrap_used)]

mod agent_fails;
mod agent_work;
mod browser;
mod cancel;
mod cli;
mod commands;
mod deliveries;
mod fakemodel;
mod follow_up;
mod github_faults;
mod harness;
mod hostile;
mod intake;
mod interleavings;
mod label_task;
mod layers;
mod life;
mod merged_meanwhile;
mod over_ssh;
mod page_access;
mod page_board;
mod payloads;
mod publishing;
mod put_off;
mod queue;
mod re_review;
mod real_agents;
mod reports;
mod restart;
mod retry;
mod review;
mod review_by_url;
mod reviewers;
mod reviewing;
mod secrets;
mod ssh_host;
mod ssh_task;
mod sshd;
mod states;
mod sweep;
mod tidy;
mod timeline;
mod titles;
mod who_may;
