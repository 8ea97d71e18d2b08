-- Accounts and their postings. Amounts are exact.
CREATE TABLE accounts (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    code varchar(20) NOT NULL UNIQUE,
    name varchar(100) NOT NULL
);

CREATE TABLE postings (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id uuid NOT NULL REFERENCES accounts (id),
    amount numeric(14, 2) NOT NULL,
    posted_on date NOT NULL
);

CREATE INDEX postings_account ON postings (account_id, posted_on);
