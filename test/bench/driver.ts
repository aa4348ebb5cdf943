/** Puts load on a port, by pgbench where it is installed, else by a program of our own. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { mustRun } from '../kit/command.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { openSession } from '../kit/wire.ts'
import { COPY_SINK } from './copy.ts'
import { findProgram } from './programs.ts'
import { ACCOUNTS, PAGES, SCRIPTS, type ScriptName, WIDE_ROWS } from './scripts.ts'

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
  /** Default: `any`. */
  readonly script?: ScriptName | undefined
  /** The clients ask for TLS, and go on with nothing else. */
  readonly tls?: boolean | undefined
}

export interface LoadResult {
  readonly transactions: number
  readonly perSecond: number
}

export interface Driver {
  readonly name: string
  run(load: Load): Promise<LoadResult>
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
    `insert into pgbench_accounts select n, 1, 0, '' from generate_series(1, ${ACCOUNTS}) n`,
    `create table ${COPY_SINK} (line text)`,
    'vacuum analyze pgbench_branches',
    'vacuum analyze pgbench_accounts',
    ...peopleTable(),
  ]
  for (const sql of statements) await wire.rows(sql)
}

/** 20 columns, of which `email` and `phone` are what people mask. */
function peopleTable(): readonly string[] {
  const numbers = Array.from({ length: 9 }, (_, at) => `number${at}`)
  const texts = Array.from({ length: 7 }, (_, at) => `text${at}`)
  const columns = [...numbers.map((name) => `${name} int`), ...texts.map((name) => `${name} text`)]
  const values = [...numbers.map((_, at) => `n * ${at + 1}`), ...texts.map(() => `'word ' || n`)]
  return [
    `create table people (id int, page int, email text, phone text, ${columns.join(', ')})`,
    `insert into people select n, 1 + n / ${WIDE_ROWS}, 'someone' || n || '@example.com',
     '+49 30 ' || 1000000 + n, ${values.join(', ')}
     from generate_series(0, ${PAGES * WIDE_ROWS - 1}) n`,
    'create index on people (page)',
    'vacuum analyze people',
  ]
}

async function runPgbench(program: string, load: Load): Promise<LoadResult> {
  const mode = load.kind === 'connect' ? ['--connect'] : [`--protocol=${load.kind}`]
  const folder = mkdtempSync(join(tmpdir(), 'postern-script-'))
  try {
    const more = [...mode, ...scriptArguments(load, folder)]
    return readPgbench(await mustRun([program, ...pgbenchArguments(load, more)], pgbenchEnv(load)))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function pgbenchArguments(load: Load, more: readonly string[]): string[] {
  return [
    '--no-vacuum',
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

function scriptArguments({ script = 'any' }: Load, folder: string): string[] {
  if (script === 'any') return ['--select-only']
  const { sql, from, to } = SCRIPTS[script]
  const file = join(folder, 'script.sql')
  writeFileSync(file, `\\set key random(${from}, ${to})\n${sql}:key;\n`)
  return [`--file=${file}`]
}

function pgbenchEnv({ tls }: Pick<Load, 'tls'>) {
  return tls ? { env: { ...process.env, PGSSLMODE: 'require' } } : {}
}

/**
 * Puts on a load of a fixed rate, and returns the time of each transaction in microseconds, from
 * the moment when it was due.
 */
export async function timesAtRate(load: Load, perSecond: number): Promise<number[]> {
  const program = findProgram('pgbench')
  if (program === null) throw new Error('--latency needs pgbench, which keeps a rate')
  const folder = mkdtempSync(join(tmpdir(), 'postern-times-'))
  try {
    const more = [
      '--select-only',
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

async function runOwn(load: Load): Promise<LoadResult> {
  const program = join(import.meta.dir, 'load.ts')
  const argument = JSON.stringify(load)
  return ownResult.parse(JSON.parse(await mustRun([process.execPath, program, argument])))
}
