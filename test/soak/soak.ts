/** Puts every plugin under load at the same time, each in a gateway of its own, and watches. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type RunningGateway, startGateway } from '../kit/gateway.ts'
import { seeded } from '../kit/pipelines.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { databaseOf, fillDatabases } from './database.ts'
import { BOUNDS, type Figure, growthOf, JUDGED_MINUTES_MIN, minutesOf } from './judge.ts'
import type { PluginName, SoakOptions } from './options.ts'
import { type Outcome, progressLine } from './report.ts'
import { readPage, readSample, type Sample } from './sample.ts'
import type { Beside, Scene, Subject } from './subject.ts'
import { Tally } from './tally.ts'
import { Pacer, workOn } from './worker.ts'

const FOLDER = resolve(import.meta.dir, '../../dist/plugins')
const SESSIONS = 6
const SAMPLES = 240
const SAMPLE_MS_MIN = 1000
const MINUTE_MS = 60_000
/** Below this a counter that has not counted is no wonder. */
const SIGNS_MINUTES_MIN = 1
const LOG_CHARACTERS_MAX = 2000

export interface Soak extends Pick<SoakOptions, 'minutes' | 'plugins' | 'rate'> {
  readonly server: PostgresServer
  readonly subjects: Readonly<Record<PluginName, Subject>>
  /** Ends the soak before its time. */
  readonly signal: AbortSignal
  readonly say: (line: string) => void
  readonly keep: (plugin: PluginName, sample: Sample) => void
}

/** One plugin under load. */
interface Running {
  readonly plugin: PluginName
  readonly subject: Subject
  readonly gateway: RunningGateway
  readonly tally: Tally
  readonly beside: Beside
  readonly samples: Sample[]
  readonly faults: string[]
  readonly work: Promise<unknown>
  readonly end: AbortController
}

/** What each plugin has shown; throws where one cannot be started. */
export async function soak(options: Soak): Promise<Outcome[]> {
  await fillDatabases(options.server, options.plugins)
  const running: Running[] = []
  try {
    for (const plugin of options.plugins) running.push(await start(plugin, options))
    await watch(running, options)
    for (const each of running) await conclude(each)
    return running.map(outcomeOf)
  } finally {
    for (const each of running) await finish(each)
  }
}

async function start(plugin: PluginName, { server, rate, subjects }: Soak): Promise<Running> {
  const subject = subjects[plugin]
  const gateway = await startBefore(server, plugin, subject)
  const tally = new Tally()
  const { host, port, folder } = gateway
  const database = databaseOf(plugin)
  const scene: Scene = { server, gateway: { host, port, folder }, database, tally }
  const end = new AbortController()
  const { roles, beside } = await subject.begin(scene)
  const pacer = new Pacer(rate)
  const work = Array.from({ length: SESSIONS }, (_, at) =>
    workOn({ scene, roles, pacer, random: seeded(at + 1), signal: end.signal }),
  )
  const all = Promise.all(work)
  return { plugin, subject, gateway, tally, beside, samples: [], faults: [], work: all, end }
}

function startBefore(
  server: PostgresServer,
  plugin: PluginName,
  { entry, logger }: Subject,
): Promise<RunningGateway> {
  const localPath = `${FOLDER}/${plugin}.wasm`
  if (!existsSync(localPath)) throw new Error(`${localPath} is not there: "npm run build" makes it`)
  const checksum = createHash('sha256').update(readFileSync(localPath)).digest('hex')
  // The machine is shared by five gateways: a plugin that waits for a core is no slow one.
  const limits = { cpuShareMax: 100, callDeadline: '5s' }
  return startGateway({
    config: {
      clients: { default: { writes: { address: `${server.host}:${server.port}` } } },
      loggers: { default: logger },
    },
    plugins: { plugins: [{ name: plugin, localPath, checksum, required: true, limits, ...entry }] },
  })
}

/** Takes samples until the time is over. */
async function watch(running: readonly Running[], options: Soak): Promise<void> {
  const startedAtMs = performance.now()
  const lengthMs = options.minutes * MINUTE_MS
  const everyMs = Math.max(SAMPLE_MS_MIN, lengthMs / SAMPLES)
  let told = 0
  for (let sample = 1; !options.signal.aborted; sample++) {
    const dueMs = Math.min(sample * everyMs, lengthMs)
    await pause(startedAtMs + dueMs - performance.now(), options.signal)
    const atMs = performance.now() - startedAtMs
    for (const each of running) await look(each, atMs, options)
    if (Math.floor(atMs / MINUTE_MS) > told) {
      told = Math.floor(atMs / MINUTE_MS)
      options.say(progressLine(atMs / MINUTE_MS, running.map(outcomeOf)))
    }
    if (dueMs >= lengthMs) return
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return
  const { promise, resolve: wake } = Promise.withResolvers<void>()
  const timer = setTimeout(wake, ms)
  signal.addEventListener('abort', () => wake(), { once: true })
  await promise
  clearTimeout(timer)
}

async function look(running: Running, atMs: number, { keep }: Soak): Promise<void> {
  const { plugin, gateway, tally, beside, samples, faults } = running
  // It was told what is wrong with it, and nothing more is to be learned.
  if (faults.length > 0) return
  try {
    beside.look?.()
    const page = await readPage(gateway.metricsPort)
    const { statements, wrong } = tally
    const sample = readSample(gateway.pid, page, { atMs, statements, wrong })
    samples.push(sample)
    keep(plugin, sample)
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error)
    const log = gateway.log().slice(-LOG_CHARACTERS_MAX)
    faults.push(`it cannot be looked at: ${words}; the end of the gateway's log:\n${log}`)
  }
}

/** Ends the load, and finds what was wrong with it. */
async function conclude(running: Running): Promise<void> {
  const { subject, gateway, tally, samples, faults } = running
  if (faults.length > 0) return
  await endLoad(running)
  const page = await readPage(gateway.metricsPort)
  if (tally.wrong > 0) faults.push(`${tally.wrong} wrong answers:`, ...tally.examples)
  faults.push(...page.failures())
  const minutes = minutesOf(samples)
  if (minutes >= SIGNS_MINUTES_MIN) {
    const silent = subject.signs.filter((name) => page.sum(name) === 0)
    faults.push(...silent.map((name) => `${name} has counted nothing: that was no soak`))
  }
  if (minutes >= JUDGED_MINUTES_MIN) {
    const figures = Object.keys(BOUNDS) as Figure[]
    faults.push(...figures.flatMap((figure) => growthOf(samples, figure) ?? []))
  }
  const { status } = await gateway.stop()
  if (status !== 0) faults.push(`the gateway has ended with exit status ${status}`)
}

async function endLoad({ end, work, beside }: Running): Promise<void> {
  end.abort()
  await work
  await beside.stop?.()
}

/** Whatever has happened: no session and no process is left. */
async function finish(running: Running): Promise<void> {
  running.end.abort()
  await running.gateway.stop()
  await running.work
  await running.beside.stop?.()
}

function outcomeOf({ plugin, tally, samples, faults }: Running): Outcome {
  return { plugin, connections: tally.connections, samples, faults }
}
