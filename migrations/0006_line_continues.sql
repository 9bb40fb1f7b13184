-- The pull request that was merged while an agent worked: its work went to this line, whose own pull request says so.
alter table line add column continues bigint;
