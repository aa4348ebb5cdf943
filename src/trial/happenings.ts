/** What a plugin did since it was last asked: kept as it happens, handed over a step at a time. */
import { pino } from 'pino'
import { z } from 'zod'
import type { HookName } from '../hooks/hook.ts'
import type { Failure, SettingsVerdict, TrafficVerdict } from '../hooks/verdict.ts'
import { createMeter, type MetricSpec, type PluginMeter } from '../metrics/meter.ts'
import type { Readable, ReadableMap } from './bytes.ts'

export type AnyVerdict = TrafficVerdict | SettingsVerdict | Failure

/** A verdict, and who gave it where. */
export interface Noted {
  readonly hook: HookName
  readonly verdict: AnyVerdict
}

/** All that happened in one step. */
export interface Happened {
  readonly verdicts: readonly Noted[]
  readonly log: readonly Readable[]
  readonly signals: readonly Readable[]
  readonly metrics: ReadableMap
  readonly toServer: Uint8Array
  readonly toClient: Uint8Array
  /** What went wrong beside verdicts, as sentences. */
  readonly faults: readonly string[]
}

const LINE = z.looseObject({
  level: z.string(),
  message: z.string().default(''),
  signal: z.string().optional(),
  fields: z.unknown().optional(),
})

/** Any value of JSON with its scalars as texts, which is how files write them. */
export function asReadable(value: unknown): Readable {
  if (value === null || value === undefined) return null
  if (Array.isArray(value)) return value.map(asReadable)
  if (typeof value !== 'object') return String(value)
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, asReadable(one)]))
}

/** A series as the page of metrics names it. */
export function seriesName(spec: MetricSpec, values: readonly string[]): string {
  const labels = spec.labels.map((label, at) => `${label}="${values[at] ?? ''}"`)
  return labels.length === 0 ? spec.name : `${spec.name}{${labels.join(',')}}`
}

const EMPTY: Happened = {
  verdicts: [],
  log: [],
  signals: [],
  metrics: {},
  toServer: new Uint8Array(0),
  toClient: new Uint8Array(0),
  faults: [],
}

export class Happenings {
  #verdicts: Noted[] = []
  #log: Readable[] = []
  #signals: Readable[] = []
  #metrics = new Map<string, readonly number[]>()
  #faults: string[] = []
  #toServer: Uint8Array[] = []
  #toClient: Uint8Array[] = []

  /** A logger whose lines are kept. */
  readonly log = pino(
    {
      level: 'trace',
      messageKey: 'message',
      base: null,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line: string) => this.#line(line) },
  )

  /** A meter that keeps what is recorded; what it would refuse is a fault. */
  readonly meter: PluginMeter = {
    declare: (plugin, specs, budget) => {
      const real = createMeter().declare(plugin, specs, budget)
      const record = (id: number, value: number, labels: readonly string[]): boolean => {
        const taken = real.record(id, value, labels)
        const spec = specs[id]
        if (taken && spec !== undefined) this.#measure(spec, value, labels)
        else this.#faults.push(`metric ${id} does not take ${value} with ${labels.length} labels`)
        return taken
      }
      return { record, withdraw: () => real.withdraw() }
    },
  }

  verdict(hook: HookName, verdict: AnyVerdict): void {
    this.#verdicts.push({ hook, verdict })
  }

  fault(sentence: string): void {
    this.#faults.push(sentence)
  }

  written(to: 'toServer' | 'toClient', bytes: Uint8Array): void {
    if (to === 'toServer') this.#toServer.push(bytes.slice())
    else this.#toClient.push(bytes.slice())
  }

  /** Hands over what happened, and forgets it. */
  take(): Happened {
    const happened = {
      ...EMPTY,
      verdicts: this.#verdicts,
      log: this.#log,
      signals: this.#signals,
      metrics: Object.fromEntries(
        [...this.#metrics].map(([name, [first = 0, ...more]]) => [
          name,
          more.length === 0 ? String(first) : [first, ...more].map(String),
        ]),
      ),
      toServer: new Uint8Array(Buffer.concat(this.#toServer)),
      toClient: new Uint8Array(Buffer.concat(this.#toClient)),
      faults: this.#faults,
    }
    this.#verdicts = []
    this.#log = []
    this.#signals = []
    this.#metrics = new Map()
    this.#faults = []
    this.#toServer = []
    this.#toClient = []
    return happened
  }

  #measure(spec: MetricSpec, value: number, labels: readonly string[]): void {
    const name = seriesName(spec, labels)
    const [before = 0, ...more] = this.#metrics.get(name) ?? []
    const known = this.#metrics.has(name) ? [before, ...more] : []
    if (spec.type === 'histogram') this.#metrics.set(name, [...known, value])
    else this.#metrics.set(name, [spec.type === 'counter' ? before + value : value])
  }

  #line(json: string): void {
    const { level, message, signal, fields } = LINE.parse(JSON.parse(json))
    if (signal !== undefined) this.#signals.push({ [signal]: asReadable(fields ?? {}) })
    else if (fields === undefined) this.#log.push({ level, message })
    else this.#log.push({ level, message, fields: asReadable(fields) })
  }
}
