/** What `npm run bench` may be asked. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { TARGETS, type TargetName } from './targets.ts'

const PLUGIN = resolve(import.meta.dir, '../../dist/plugins/audit.wasm')

export const HELP = `npm run bench -- [options]
  -T, --seconds N      length of one measurement (3)
      --rounds N       rounds; every figure is the median over them (5)
      --clients LIST   numbers of clients (1,8,32; with --pool 8,32,200,1000)
      --targets LIST   of ${TARGETS.join(',')} (all that fit)
      --cells WORD     only cells whose name contains it, such as "copy" or "prepared 8"
      --copy-mb N      size of a copy (256; with --copy-gb 1000)
      --plugin FILE    WASM plugin of the target "wasm" (dist/plugins/audit.wasm)
      --tls            only: queries with TLS to clients, beside PgBouncer
      --connect        only: connections to logged-in pools of 20, beside PgBouncer
      --plugins        only: the plugins that come with the gateway, beside none
      --workers        only: two workers beside one process, and how they share sessions
      --pool           only: a pool of 20 shared by transactions, beside PgBouncer
      --latency        only: percentiles at half of the maximum, beside HAProxy (pgbench)
      --copy-gb        only: copies of 1 GB in and out, plain and TLS, with peak memory
      --idle           only: memory of idle sessions, beside HAProxy
      --sessions N     how many of these (10000)
      --start          only: time from start to listening
      --memory         only: peak memory beside a slow reader (17 minutes)
      --memory-mb N    size of that reader's result (1000), read at 1 MB/s
      --hooks          only: calls, deadlines and loads of WASM plugins (4 minutes)
      --grpc           only: calls of a Go plugin, and statements through one (7 minutes)
      --json           with --hooks or --grpc: one object a figure
`

/** Parts that are asked for by a flag, the first one that is set. */
const PARTS = [
  'help',
  'hooks',
  'grpc',
  'memory',
  'start',
  'tls',
  'connect',
  'plugins',
  'workers',
  'pool',
  'latency',
  'copy-gb',
  'idle',
] as const

export type Part = 'comparison' | (typeof PARTS)[number]

const CLIENTS = '1,8,32'
const POOL_CLIENTS = '8,32,200,1000'
const COPY_MEGABYTES = { 'copy-gb': '1000', others: '256' } as const

export interface BenchOptions {
  readonly part: Part
  readonly seconds: number
  readonly rounds: number
  readonly clients: readonly number[]
  /** Null: all that the part has. */
  readonly targets: readonly TargetName[] | null
  readonly cells: string
  readonly copyMegabytes: number
  readonly plugin: string
  readonly memoryMegabytes: number
  readonly sessions: number
  readonly json: boolean
}

const flag = { type: 'boolean', default: false } as const
const text = { type: 'string' } as const

/** Throws with the option that is wrong. */
export function readOptions(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      seconds: { ...text, default: '3', short: 'T' },
      rounds: { ...text, default: '5' },
      clients: text,
      targets: text,
      cells: { ...text, default: '' },
      'copy-mb': text,
      plugin: { ...text, default: PLUGIN },
      start: flag,
      memory: flag,
      'memory-mb': { ...text, default: '1000' },
      hooks: flag,
      grpc: flag,
      tls: flag,
      connect: flag,
      plugins: flag,
      workers: flag,
      pool: flag,
      latency: flag,
      'copy-gb': flag,
      idle: flag,
      sessions: { ...text, default: '10000' },
      json: flag,
      help: { ...flag, short: 'h' },
    },
  })
  const part = PARTS.find((each) => values[each]) ?? 'comparison'
  const copyMegabytes = COPY_MEGABYTES[part === 'copy-gb' ? part : 'others']
  return {
    part,
    seconds: positive('--seconds', values.seconds),
    rounds: positive('--rounds', values.rounds),
    clients: (values.clients ?? (part === 'pool' ? POOL_CLIENTS : CLIENTS))
      .split(',')
      .map((count) => positive('--clients', count)),
    targets: values.targets?.split(',').map(targetNamed) ?? null,
    cells: values.cells,
    copyMegabytes: positive('--copy-mb', values['copy-mb'] ?? copyMegabytes),
    plugin: resolve(values.plugin),
    memoryMegabytes: positive('--memory-mb', values['memory-mb']),
    sessions: positive('--sessions', values.sessions),
    json: values.json,
  }
}

function positive(name: string, value: string): number {
  const found = Number(value)
  if (Number.isInteger(found) && found > 0) return found
  throw new Error(`${name}: a whole number above 0 is wanted, not ${JSON.stringify(value)}`)
}

function targetNamed(name: string): TargetName {
  const found = TARGETS.find((target) => target === name)
  if (found === undefined) throw new Error(`--targets: ${name} is none of ${TARGETS.join(', ')}`)
  return found
}
