-- What a decision was about, as far as it was known when it was made (B27). Before, all but the run stood inside the sentences alone.
alter table decision add column runner text;
alter table decision add column branch text;
alter table decision add column pull_number bigint;
alter table decision add column head text;
-- `commented`, `approved`, `changes_requested` or `other`: of the review that the decision is about, which is its actor's.
alter table decision add column review_state text;
