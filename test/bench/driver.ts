/** Puts load on a port, by pgbench where it is installed, else by a program of our own. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { mustRun } from '../kit/command.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { openSession } from '../kit/wire.ts'
import { COPY_SINK } from './copy.ts'
import { findProgram } from './programs.ts'

/** pgbench's own scale 1; its select-only script reads one of these rows. */
const ROWS = 100_000

/** Statements as they are, prepared ones, or a connection for every statement. */
export type LoadKind = 'simple' | 'prepared' | 'connect'

export interface Load {
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
  readonly kind: LoadKind
  readonly clients: number
  readonly seconds: number
  readonly rows: number
  /** The clients ask for TLS, and go on with nothing else. */
  readonly tls?: boolean | undefined
}

export interface LoadResult {
  readonly transactions: number
  readonly perSecond: number
}

export interface Driver {
  readonly name: string
  run(load: Omit<Load, 'rows'>): Promise<LoadResult>
}

export function findDriver(): Driver {
  const pgbench = findProgram('pgbench')
  if (pgbench === null) return { name: 'our own driver (pg)', run: runOwn }
  return { name: pgbench, run: (load) => runPgbench(pgbench, load) }
}

/** The tables that the select-only script of pgbench reads. */
export async function createTables(server: PostgresServer): Promise<void> {
  using wire = await openSession(server)
  const statements = [
    'create table pgbench_branches (bid int primary key, bbalance int, filler char(88))',
    'insert into pgbench_branches values (1, 0)',
    'create table pgbench_accounts (aid int primary key, bid int, abalance int, filler char(84))',
    `insert into pgbench_accounts select n, 1, 0, '' from generate_series(1, ${ROWS}) n`,
    `create table ${COPY_SINK} (line text)`,
    'vacuum analyze pgbench_branches',
    'vacuum analyze pgbench_accounts',
  ]
  for (const sql of statements) await wire.rows(sql)
}

async function runPgbench(program: string, load: Omit<Load, 'rows'>): Promise<LoadResult> {
  const mode = load.kind === 'connect' ? ['--connect'] : [`--protocol=${load.kind}`]
  return readPgbench(await mustRun([program, ...pgbenchArguments(load, mode)], pgbenchEnv(load)))
}

function pgbenchArguments(load: Omit<Load, 'rows'>, more: readonly string[]): string[] {
  return [
    '--no-vacuum',
    '--select-only',
    '--jobs=1',
    `--client=${load.clients}`,
    `--time=${load.seconds}`,
    `--host=${load.host}`,
    `--port=${load.port}`,
    `--username=${load.user}`,
    ...more,
    load.database,
  ]
}

function pgbenchEnv({ tls }: Pick<Load, 'tls'>) {
  return tls ? { env: { ...process.env, PGSSLMODE: 'require' } } : {}
}

/**
 * Puts on a load of a fixed rate, and returns the time of each transaction in microseconds, from
 * the moment when it was due.
 */
export async function timesAtRate(load: Omit<Load, 'rows'>, perSecond: number): Promise<number[]> {
  const program = findProgram('pgbench')
  if (program === null) throw new Error('--latency needs pgbench, which keeps a rate')
  const folder = mkdtempSync(join(tmpdir(), 'postern-times-'))
  try {
    const more = [
      `--protocol=${load.kind}`,
      `--rate=${Math.round(perSecond)}`,
      '--log',
      `--log-prefix=${join(folder, 'times')}`,
    ]
    readPgbench(await mustRun([program, ...pgbenchArguments(load, more)], pgbenchEnv(load)))
    return readdirSync(folder).flatMap((name) =>
      readTimes(readFileSync(join(folder, name), 'utf8')),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The third column of pgbench's log: client, transaction, time, script, seconds, …. */
export function readTimes(log: string): number[] {
  const times = log
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => Number(line.split(' ')[2]))
  if (times.some((time) => !Number.isFinite(time))) throw new Error('pgbench: a log without times')
  return times
}

/** The figures of pgbench's report; a transaction that failed makes the whole run worthless. */
export function readPgbench(printed: string): LoadResult {
  const transactions = /transactions actually processed: (\d+)/.exec(printed)?.[1]
  const failed = /number of failed transactions: (\d+)/.exec(printed)?.[1] ?? '0'
  const perSecond = /^tps = ([\d.]+)/m.exec(printed)?.[1]
  if (transactions === undefined || perSecond === undefined || failed !== '0') {
    throw new Error(`pgbench: no figures, or failed transactions, in\n${printed}`)
  }
  return { transactions: Number(transactions), perSecond: Number(perSecond) }
}

const ownResult = z.object({ transactions: z.number(), perSecond: z.number() })

async function runOwn(load: Omit<Load, 'rows'>): Promise<LoadResult> {
  const program = join(import.meta.dir, 'load.ts')
  const argument = JSON.stringify({ ...load, rows: ROWS })
  return ownResult.parse(JSON.parse(await mustRun([process.execPath, program, argument])))
}
