/** The tables and users that the soak works on. */
import { openSession } from '../kit/wire.ts'
import type { PluginName } from './options.ts'
import type { Scene } from './subject.ts'

export const PEOPLE = 2000
export const CELLS = 8
/** Users that the rate limit knows by the pattern `limited_*`. */
export const LIMITED_USERS = 80
/** A database in which nobody writes through the gateway. */
export const READ_DATABASE = 'soak_still'

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

/** A database of its own for each plugin, for what one fails to refuse must not trouble others. */
export const databaseOf = (plugin: PluginName): string => `soak_${plugin.replace('-', '_')}`

/** Makes everything, on the server itself. */
export async function fillDatabases(
  { host, port, user }: Scene['server'],
  plugins: readonly PluginName[],
): Promise<void> {
  const wire = await openSession({ host, port, user, database: 'postgres' })
  await wire.rows(USERS.map((name) => `create role ${name} login`).join(';'))
  for (const database of [...plugins.map(databaseOf), READ_DATABASE]) {
    await wire.rows(`create database ${database}`)
    const filling = await openSession({ host, port, user, database })
    await filling.rows(TABLES)
    await filling.terminate()
  }
  await wire.terminate()
}
