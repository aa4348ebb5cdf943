/** The tables and users that the soak works on. */
import { openSession } from '../kit/wire.ts'
import type { Scene } from './subject.ts'

export const PEOPLE = 2000
export const CELLS = 8
/** Users that the rate limit knows by the pattern `limited_*`. */
export const LIMITED_USERS = 80
/** A database in which nobody writes through the gateway. */
export const READ_DATABASE = 'still'

const TABLES = `
  create table notes (author text, body text);
  create table secrets (word text); insert into secrets values ('hidden');
  create table cells (id int primary key, value int);
  insert into cells select n, 0 from generate_series(0, ${CELLS - 1}) n;
  create table people (id int primary key, email text, card varchar, pay numeric, note text);
  insert into people select n, 'ann' || n || '@example.com', '4111111111111111', n * 1.5,
    'write to ann' || n || '@example.com' from generate_series(1, ${PEOPLE}) n;
  grant all on all tables in schema public to public`

const USERS = ['app', 'dba', ...Array.from({ length: LIMITED_USERS }, (_, n) => `limited_${n}`)]

/** Makes everything, on the server itself. */
export async function fillDatabase({ host, port, user }: Scene['server']): Promise<void> {
  const wire = await openSession({ host, port, user, database: 'postgres' })
  await wire.rows(USERS.map((name) => `create role ${name} login`).join(';'))
  await wire.rows(TABLES)
  await wire.rows(`create database ${READ_DATABASE}`)
  await wire.terminate()
  const reading = await openSession({ host, port, user, database: READ_DATABASE })
  await reading.rows(TABLES)
  await reading.terminate()
}
