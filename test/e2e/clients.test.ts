import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../bench/programs.ts'
import { type CommandResult, mustRun, run } from '../kit/command.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import { type PostgresServer, startPostgres } from '../kit/postgres.ts'
import { mustBeSound, startWay, until, WAYS } from '../kit/traffic.ts'
import { openSession } from '../kit/wire.ts'

setDefaultTimeout(30_000)

const psql = findProgram('psql')
const pgbench = findProgram('pgbench')
const COPY_ROWS = 20_000

let server: PostgresServer
let folder: string
beforeAll(async () => {
  server = await startPostgres()
  folder = mkdtempSync(join(tmpdir(), 'postern-clients-'))
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
  await server.stop()
})

describe.each(WAYS)('$way', (way) => {
  let gateway: RunningGateway
  beforeAll(async () => {
    gateway = await startWay(server, way)
  })
  afterAll(async () => {
    await mustBeSound(gateway)
    expect((await gateway.stop()).status).toBe(0)
  })

  /** What libpq reads, so that no client needs flags for it. */
  const surroundings = (more: Readonly<Record<string, string>> = {}) => ({
    PATH: process.env['PATH'],
    HOME: folder,
    LC_ALL: 'C',
    PGHOST: gateway.host,
    PGPORT: String(gateway.port),
    PGUSER: server.user,
    PGDATABASE: server.database,
    ...more,
  })

  const runPsql = (args: readonly string[]): Promise<CommandResult> =>
    run([psql ?? '', '-X', '-q', '-A', '-t', ...args], { env: surroundings(), cwd: folder })

  /** Runs a script of psql's, line by line as if typed. */
  async function script(text: string): Promise<CommandResult> {
    const file = join(folder, 'script.sql')
    writeFileSync(file, text)
    return await runPsql(['-f', file])
  }

  test.skipIf(psql === null)(
    'psql runs a script with transactions, prepared (needs psql)',
    async () => {
      const { stdout, stderr, status } = await script(`
      create temp table kept (n int primary key, t text);
      begin; insert into kept values (1, 'ä'); savepoint s; insert into kept values (1, 'b');
      rollback to s; commit;
      prepare one (int) as select t from kept where n = $1; execute one(1);
      select 1/0 \\g
      \\echo :LAST_ERROR_SQLSTATE
      select count(*) from kept; select 'several' \\; select 'at once';
      \\set FETCH_COUNT 7
      select sum(n) from (select generate_series(1, 100) as n) all_of_them;
    `)
      expect(status).toBe(0)
      expect(stderr).toContain('duplicate key value')
      expect(stderr).toContain('division by zero')
      expect(stdout.split('\n').filter((line) => line !== '')).toEqual([
        'ä',
        '22012',
        '1',
        'several',
        'at once',
        '5050',
      ])
    },
  )

  test.skipIf(psql === null)('psql copies in and out, the same bytes (needs psql)', async () => {
    const lines = Array.from({ length: COPY_ROWS }, (_, row) => `${row}\t${'x'.repeat(row % 700)}`)
    const text = `${lines.join('\n')}\n`
    writeFileSync(join(folder, 'in.txt'), text)
    const { status, stderr } = await script(`
      create temp table copied (n int, t text);
      \\copy copied from 'in.txt'
      \\copy (select * from copied order by n) to 'out.txt'
      \\copy copied from program 'echo no number'
    `)
    expect(stderr).toContain('invalid input syntax for type integer')
    expect(status).toBe(0)
    expect(readFileSync(join(folder, 'out.txt'), 'utf8') === text).toBeTrue()
  })

  test.skipIf(psql === null)('Ctrl-C in psql cancels the query (needs psql)', async () => {
    const name = `ctrl-c-${gateway.port}`
    const child = Bun.spawn([psql ?? '', '-X', '-c', 'select pg_sleep(60)'], {
      env: surroundings({ PGAPPNAME: name }),
      stdout: 'ignore',
      stderr: 'pipe',
    })
    using witness = await openSession(server)
    const asleep = `select from pg_stat_activity
      where application_name = '${name}' and wait_event = 'PgSleep'`
    await until('psql waits', async () => (await witness.rows(asleep)).length === 1)
    child.kill('SIGINT')
    expect(await child.stderr.text()).toContain('canceling statement due to user request')
    expect(await child.exited).toBe(1)
  })

  test.skipIf(psql === null)(
    'psql is told by the server who it may not be (needs psql)',
    async () => {
      const { status, stderr } = await runPsql(['-d', 'nowhere', '-c', 'select 1'])
      expect(status).toBe(2)
      expect(stderr).toContain('FATAL:  database "nowhere" does not exist')
    },
  )

  describe('pgbench', () => {
    const CLIENTS = 8
    const EACH = 100
    const bench = (args: readonly string[]): Promise<string> =>
      mustRun([pgbench ?? '', ...args], { env: surroundings(), cwd: folder })

    beforeAll(async () => {
      if (pgbench !== null) await bench(['-i', '-s', '1', '-q'])
    })

    test.skipIf(pgbench === null)('runs its transactions, each way (needs pgbench)', async () => {
      const shape = ['-c', String(CLIENTS), '-t', String(EACH), '-j', '2']
      const all = CLIENTS * EACH
      for (const mode of ['simple', 'extended', 'prepared']) {
        const report = await bench(['-n', '-M', mode, ...shape])
        expect(report).toContain(`number of transactions actually processed: ${all}/${all}`)
        expect(report).toContain('number of failed transactions: 0 ')
      }
    })

    test.skipIf(pgbench === null)('runs pipelines in each protocol (needs pgbench)', async () => {
      const file = join(folder, 'pipeline.sql')
      const statements = Array.from({ length: 10 }, (_, n) => `select ${n}, :scale;`)
      writeFileSync(file, ['\\startpipeline', ...statements, '\\endpipeline', ''].join('\n'))
      for (const mode of ['extended', 'prepared']) {
        const report = await bench(['-n', '-M', mode, '-f', file, '-c', '4', '-t', '100'])
        expect(report).toContain('number of transactions actually processed: 400/400')
      }
    })

    test.skipIf(pgbench === null)(
      'connects anew for each transaction (needs pgbench)',
      async () => {
        const report = await bench(['-n', '-S', '-C', '-c', '4', '-t', '50'])
        expect(report).toContain('number of transactions actually processed: 200/200')
      },
    )

    test.skipIf(pgbench === null)('leaves balances that agree (needs pgbench)', async () => {
      using session = await openSession({ ...server, port: gateway.port })
      const [sums] = await session.rows(`select
        (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from pgbench_branches),
        (select sum(tbalance) from pgbench_tellers), (select sum(delta) from pgbench_history),
        (select count(*) from pgbench_history)`)
      const [accounts, branches, tellers, history, count] = sums ?? []
      expect([branches, tellers, history]).toEqual([accounts, accounts, accounts])
      expect(count).toBe(String(3 * CLIENTS * EACH))
    })
  })
})
