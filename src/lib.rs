//! track turns labelled issues and slash-commands on GitHub into runs of coding agents on your own machines.
//!
//! ARCHITECTURE.md has the bird's-eye view; the modules below follow the flow from left to right.

pub mod admin;
pub mod agent;
pub mod api;
pub mod app;
pub mod cli;
pub mod config;
pub mod context;
pub mod db;
pub mod demo;
pub mod doctor;
pub mod event;
pub mod fleet;
pub mod git;
pub mod github;
pub mod http;
pub mod inbox;
pub mod logging;
pub mod markup;
pub mod model;
pub mod queue;
pub mod report;
pub mod run;
pub mod runner;
pub mod sim;
pub mod trigger;
pub mod webhook;
