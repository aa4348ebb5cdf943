/**
 * The load driver for machines without pgbench: a program of its own, so that it never shares a
 * thread with what it measures. `bun load.ts '{"port":…}'` prints one line of JSON.
 */
import { Client } from 'pg'
import { z } from 'zod'
import type { Load, LoadKind, LoadResult } from './driver.ts'
import { SCRIPT_NAMES, SCRIPTS } from './scripts.ts'

/** What is measured is its cost; who the other side is, is known. */
const TLS = { rejectUnauthorized: false }

const loadArgument = z.object({
  host: z.string(),
  port: z.number(),
  user: z.string(),
  database: z.string(),
  kind: z.enum(['simple', 'prepared', 'connect'] satisfies LoadKind[]),
  clients: z.number(),
  seconds: z.number(),
  script: z.enum(SCRIPT_NAMES).optional(),
  tls: z.boolean().optional(),
})

async function ask(client: Client, { kind, script = 'any' }: Load): Promise<void> {
  const { sql, from, to } = SCRIPTS[script]
  const key = from + Math.floor(Math.random() * (to - from + 1))
  if (kind === 'prepared') {
    await client.query({ name: script, text: `${sql}$1`, values: [key] })
  } else {
    await client.query(sql + key)
  }
}

async function open(load: Load): Promise<Client> {
  const { host, port, user, database } = load
  const client = new Client({ host, port, user, database, ssl: load.tls === true && TLS })
  await client.connect()
  return client
}

/** One client's statements until the time is up; for `connect` a connection each. */
async function drive(load: Load, endsAtMs: number, first: Client): Promise<number> {
  let client = first
  let transactions = 0
  while (performance.now() < endsAtMs) {
    await ask(client, load)
    transactions++
    if (load.kind !== 'connect') continue
    await client.end()
    client = await open(load)
  }
  await client.end()
  return transactions
}

export async function runLoad(load: Load): Promise<LoadResult> {
  const clients = await Promise.all(Array.from({ length: load.clients }, () => open(load)))
  const startedAtMs = performance.now()
  const endsAtMs = startedAtMs + load.seconds * 1_000
  const counts = await Promise.all(clients.map((client) => drive(load, endsAtMs, client)))
  const transactions = counts.reduce((total, count) => total + count, 0)
  return { transactions, perSecond: (transactions * 1_000) / (performance.now() - startedAtMs) }
}

if (import.meta.main) {
  const load = loadArgument.parse(JSON.parse(process.argv[2] ?? '{}'))
  process.stdout.write(JSON.stringify(await runLoad(load)))
}
