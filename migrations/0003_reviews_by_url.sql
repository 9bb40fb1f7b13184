-- Reviews that are asked for by the address of a pull request, on the bot's own machine.

-- GitHub sent nothing: the operator asked. Its source stands as 'webhook', for that list of words cannot grow.
alter table delivery add column by_hand integer not null default 0 check (by_hand in (0, 1));
