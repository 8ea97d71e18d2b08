-- What the tenant's own users did.
CREATE TABLE audit_logs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id uuid REFERENCES users (id) ON DELETE SET NULL,
    action varchar(100) NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX audit_logs_made_at ON audit_logs (made_at);
