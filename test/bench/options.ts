/** What `npm run bench` may be asked. */
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { TARGETS, type TargetName } from './targets.ts'

const PLUGIN = resolve(import.meta.dir, '../../dist/plugins/audit.wasm')

export const HELP = `npm run bench -- [options]
  -T, --seconds N      length of one measurement (3)
      --rounds N       rounds; every figure is the median over them (5)
      --clients LIST   numbers of clients (1,8,32)
      --targets LIST   of ${TARGETS.join(',')} (all)
      --cells WORD     only cells whose name contains it, such as "copy" or "prepared 8"
      --copy-mb N      size of the copied result (256)
      --plugin FILE    WASM plugin of the target "wasm" (dist/plugins/audit.wasm)
      --start          only: time from start to listening
      --memory         only: peak memory beside a slow reader (17 minutes)
      --memory-mb N    size of that reader's result (1000), read at 1 MB/s
      --hooks          only: calls, deadlines and loads of WASM plugins (4 minutes)
      --grpc           only: calls of a Go plugin, and statements through one (7 minutes)
      --json           with --hooks or --grpc: one object a figure
`

export interface BenchOptions {
  readonly part: 'comparison' | 'start' | 'memory' | 'hooks' | 'grpc' | 'help'
  readonly seconds: number
  readonly rounds: number
  readonly clients: readonly number[]
  readonly targets: readonly TargetName[]
  readonly cells: string
  readonly copyMegabytes: number
  readonly plugin: string
  readonly memoryMegabytes: number
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
      clients: { ...text, default: '1,8,32' },
      targets: { ...text, default: TARGETS.join(',') },
      cells: { ...text, default: '' },
      'copy-mb': { ...text, default: '256' },
      plugin: { ...text, default: PLUGIN },
      start: flag,
      memory: flag,
      'memory-mb': { ...text, default: '1000' },
      hooks: flag,
      grpc: flag,
      json: flag,
      help: { ...flag, short: 'h' },
    },
  })
  return {
    part: partOf(values),
    seconds: positive('--seconds', values.seconds),
    rounds: positive('--rounds', values.rounds),
    clients: values.clients.split(',').map((count) => positive('--clients', count)),
    targets: values.targets.split(',').map(targetNamed),
    cells: values.cells,
    copyMegabytes: positive('--copy-mb', values['copy-mb']),
    plugin: resolve(values.plugin),
    memoryMegabytes: positive('--memory-mb', values['memory-mb']),
    json: values.json,
  }
}

interface Parts {
  readonly help: boolean
  readonly memory: boolean
  readonly start: boolean
  readonly hooks: boolean
  readonly grpc: boolean
}

function partOf({ help, memory, start, hooks, grpc }: Parts): BenchOptions['part'] {
  if (help) return 'help'
  if (hooks) return 'hooks'
  if (grpc) return 'grpc'
  if (memory) return 'memory'
  return start ? 'start' : 'comparison'
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
