-- The desk's role: it owns its tables and is no superuser. Run by the superuser with psql, and safe to repeat:
-- at the first start of Compose's PostgreSQL, after DATABASE_PASSWORD was changed, and once for a database
-- that an older version made (docs/security.md). DATABASE_PASSWORD is read from the environment.
\set ON_ERROR_STOP on
\getenv password DATABASE_PASSWORD
\if :{?password}
\else
  \warn 'DATABASE_PASSWORD is not set: there is no password for the role desk.'
  SELECT 1 / 0 AS "DATABASE_PASSWORD is not set";
\endif

SELECT 'CREATE ROLE desk' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'desk') \gexec
ALTER ROLE desk LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'password';

-- What agents' tools may read with (docs/agents.md): `migrate` grants it table by table.
SELECT 'CREATE ROLE desk_reader' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'desk_reader') \gexec
ALTER ROLE desk_reader NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
GRANT desk_reader TO desk;

-- Only a superuser may; where the server has none, the desk does without.
SELECT 'CREATE EXTENSION IF NOT EXISTS timescaledb'
WHERE EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') \gexec

REVOKE ALL ON DATABASE :"DBNAME" FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE :"DBNAME" TO desk;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO desk;
GRANT USAGE ON SCHEMA public TO desk_reader;
-- The store of quotes, trades and books has a schema of its own; the desk may create no other.
CREATE SCHEMA IF NOT EXISTS marketdata AUTHORIZATION desk;

-- What an older version made belongs to the superuser it ran as; a sequence goes with its table.
DO $$
DECLARE
  relation regclass;
BEGIN
  FOR relation IN
    SELECT c.oid FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace
      AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
      AND pg_get_userbyid(c.relowner) <> 'desk'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('e', 'a', 'i')
                      AND d.classid = 'pg_class'::regclass AND (d.deptype = 'e' OR c.relkind = 'S'))
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO desk', relation);
  END LOOP;
END
$$;
