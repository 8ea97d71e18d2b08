-- Employees. One need not be a user.
CREATE TABLE employees (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid REFERENCES users (id) ON DELETE SET NULL,
    number varchar(20) NOT NULL UNIQUE,
    joined_on date NOT NULL,
    left_on date CHECK (left_on >= joined_on)
);
