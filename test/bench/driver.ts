/** Puts load on a port, by pgbench where it is installed, else by a program of our own. */
import { join } from 'node:path'
import { z } from 'zod'
import { mustRun } from '../kit/command.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { openSession } from '../kit/wire.ts'
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
    'vacuum analyze pgbench_branches',
    'vacuum analyze pgbench_accounts',
  ]
  for (const sql of statements) await wire.rows(sql)
}

async function runPgbench(program: string, load: Omit<Load, 'rows'>): Promise<LoadResult> {
  const mode = load.kind === 'connect' ? ['--connect'] : [`--protocol=${load.kind}`]
  const printed = await mustRun([
    program,
    '--no-vacuum',
    '--select-only',
    '--jobs=1',
    `--client=${load.clients}`,
    `--time=${load.seconds}`,
    `--host=${load.host}`,
    `--port=${load.port}`,
    `--username=${load.user}`,
    ...mode,
    load.database,
  ])
  return readPgbench(printed)
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
