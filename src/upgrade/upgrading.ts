/**
 * The order of an upgrade, as the process that is to be replaced goes through it. Until the other
 * one serves nothing of this one has changed, whatever fails.
 */
import type { Logger } from 'pino'
import type { UpgradeReport, UpgradesReport } from '../admin/report.ts'
import { version } from '../base/build.ts'
import { GatewayError, sentenceOf } from '../base/errors.ts'
import type { Meter } from '../metrics/meter.ts'
import type { Estate, OfferedSocket } from '../tcp/estate.ts'
import { CHANNEL_VERSION, type Earlier, SOCKETS_MAX, type ToPredecessor } from './messages.ts'
import type { Predecessor } from './predecessor.ts'
import { Successor } from './successor.ts'

/** How long one that is ready may take to accept clients. */
const SERVING_WITHIN_MS = 5000
/** How often it is told of the clients that are left here. */
const TOLD_EVERY_MS = 1000

/** What an upgrade needs of the gateway that is to be replaced. */
export interface Replaced {
  readonly log: Logger
  readonly env: Readonly<Record<string, string | undefined>>
  /** The command line of the other one. */
  readonly command: readonly string[]
  readonly estate: Estate
  /** The process whose place this one has taken itself. */
  readonly predecessor: Predecessor | null
  /** Throws UPGRADE_REFUSED where now is no time for it; resolves when nothing is in its way. */
  ready(): Promise<{ readonly timeoutMs: number; readonly earlierMax: number }>
  sessions(): number
  /** Carries out a CancelRequest that came to the other one. */
  cancel(group: string, request: Uint8Array, done: (known: boolean) => void): void
  /** Removes what another process has left that was killed. */
  reap(): void
  /** Has the service manager know the other one as the service. */
  introduce(pid: number): Promise<void>
  /** The clients are to end as at a stop. */
  stop(isForced: boolean): void
}

interface UpgradeCounts {
  done: number
  refused: number
  lastError: string
}

const NONE_REFUSED = { refused: 0, lastError: '' }
const NOBODY: Earlier = { processes: 0, sessions: 0 }

export class Upgrading {
  readonly #counts: UpgradeCounts
  readonly #gateway: Replaced
  readonly #replaced = Promise.withResolvers<void>()
  /** Of the upgrade that is under way. */
  #over = Promise.withResolvers<void>()
  #sinceMs: number | null = null
  #successor: Successor | null = null
  #isReplaced = false

  constructor(gateway: Replaced) {
    this.#gateway = gateway
    const { predecessor } = gateway
    this.#counts = { done: predecessor === null ? 0 : predecessor.upgrades + 1, ...NONE_REFUSED }
  }

  /** Resolves when another process serves in place of this one. */
  get replaced(): Promise<void> {
    return this.#replaced.promise
  }

  get isUnderWay(): boolean {
    return this.#sinceMs !== null
  }

  /** For the status. */
  get report(): UpgradesReport {
    return { ...this.#counts, isUnderWay: this.isUnderWay, earlier: this.#earlier }
  }

  get #earlier(): Earlier {
    return this.#gateway.predecessor?.earlier ?? NOBODY
  }

  /** Never rejects: where anything fails, this process goes on, and the report says why. */
  async run(): Promise<UpgradeReport> {
    const startedAt = performance.now()
    const { log } = this.#gateway
    const report = (
      parts: Pick<UpgradeReport, 'outcome' | 'pid' | 'version' | 'problems'>,
    ): UpgradeReport => ({
      ...parts,
      before: { pid: process.pid, version, sessions: this.#gateway.sessions() },
      earlier: this.#earlier.processes,
      tookMs: Math.round(performance.now() - startedAt),
    })
    try {
      const { successor, version: its } = await this.#exclusively(() => this.#replace())
      const { pid } = successor
      const done = report({ outcome: 'done', pid, version: its, problems: [] })
      const facts = { pid, version: its, tookMs: done.tookMs, sessions: done.before.sessions }
      log.info(facts, 'another process has taken over; the clients that are here may stay a while')
      this.#replaced.resolve()
      return done
    } catch (thrown) {
      const sentence = sentenceOf(thrown)
      this.#counts.refused += 1
      this.#counts.lastError = sentence
      const facts = thrown instanceof GatewayError ? {} : { err: thrown }
      log.error(facts, `there was no upgrade, this process goes on: ${sentence}`)
      return report({ outcome: 'refused', pid: null, version: '', problems: sentence.split('\n') })
    }
  }

  async #exclusively<Outcome>(work: () => Promise<Outcome>): Promise<Outcome> {
    if (this.#sinceMs !== null) {
      const seconds = Math.round((performance.now() - this.#sinceMs) / 1000)
      const problem = `an upgrade is under way for ${seconds} s; ask again when it is over`
      throw new GatewayError('UPGRADE_REFUSED', problem)
    }
    this.#sinceMs = performance.now()
    this.#over = Promise.withResolvers()
    try {
      return await work()
    } finally {
      this.#sinceMs = null
      this.#over.resolve()
    }
  }

  async #replace() {
    const gateway = this.#gateway
    refuseFirstProcess()
    const { timeoutMs, earlierMax } = await gateway.ready()
    refuseCrowd(this.#earlier, earlierMax)
    const offered = gateway.estate.offer()
    refuseMany(offered.length)
    const { command, env, log } = gateway
    log.info(`an upgrade begins: ${command[0]} is started, to take over from this process`)
    const heard = (message: ToPredecessor): void => this.#hear(message)
    const successor = new Successor({ command, env, log, heard })
    this.#successor = successor
    try {
      await successor.start()
      successor.hand(offered.map(({ descriptor }) => descriptor))
      const ready = await successor.ask(begin(offered, this.#counts.done), 'ready', timeoutMs)
      await gateway.ready()
      await successor.ask({ kind: 'go' }, 'serving', SERVING_WITHIN_MS)
      // From here on nothing fails: the other one has clients.
      this.#isReplaced = true
      for (const at of ready.adopted) offered[at]?.socket.handOn()
      await gateway.introduce(successor.pid)
      successor.send({ kind: 'known' })
      this.#follow(successor)
      return { successor, version: ready.version }
    } catch (thrown) {
      this.#successor = null
      await successor.kill()
      gateway.reap()
      throw thrown
    }
  }

  /** Ends the other process where it does not serve yet: this one is told to stop. */
  async abandon(): Promise<void> {
    const successor = this.#successor
    // Where none is started yet, none will be: this process is ready for it no more.
    if (!this.isUnderWay || this.#isReplaced || successor === null) return
    await successor.kill()
    // What it has left is removed too.
    await this.#over.promise
  }

  #follow(successor: Successor): void {
    const { sessions, log } = this.#gateway
    const tell = (): void => {
      const before = this.#earlier
      const processes = before.processes + 1
      const all = { processes, sessions: before.sessions + sessions() }
      successor.send({ kind: 'earlier', earlier: all })
    }
    tell()
    setInterval(tell, TOLD_EVERY_MS).unref()
    log.debug({ pid: successor.pid }, 'the other process is told of the clients that are left')
  }

  #hear(message: ToPredecessor): void {
    const gateway = this.#gateway
    if (message.kind === 'stop') return gateway.stop(message.isForced)
    if (message.kind !== 'cancel') return
    const { id, group } = message
    const request = Uint8Array.from(Buffer.from(message.request, 'base64'))
    gateway.cancel(group, request, (known) => {
      this.#successor?.send({ kind: 'cancelled', id, known })
    })
  }
}

function refuseMany(sockets: number): void {
  if (sockets <= SOCKETS_MAX) return
  const problem = `${sockets} listening sockets are more than ${SOCKETS_MAX}`
  throw new GatewayError('UPGRADE_REFUSED', `${problem}, which can be handed over; restart`)
}

function begin(offered: readonly OfferedSocket[], upgrades: number) {
  const sockets = offered.map(({ asked, bound }) => ({ asked, bound }))
  const { pid } = process
  return { kind: 'begin', channel: CHANNEL_VERSION, pid, version, upgrades, sockets } as const
}

/** Everything in a container ends with its first process. */
function refuseFirstProcess(): void {
  if (process.pid !== 1) return
  const problem = 'this gateway is the first process of its container, which ends with it'
  throw new GatewayError('UPGRADE_REFUSED', `${problem}; start a container of the new image`)
}

function refuseCrowd({ processes, sessions }: Earlier, most: number): void {
  if (processes < most) return
  const problem = `${processes} earlier processes (upgradesMax) have ${sessions} clients yet`
  const cure = 'they end after drainTimeout, ask again then'
  throw new GatewayError('UPGRADE_REFUSED', `${problem}; ${cure}`)
}

export function declareUpgrades(meter: Meter, upgrading: Upgrading): void {
  const sample = (read: (report: UpgradesReport) => number) => () => [
    { labels: {}, value: read(upgrading.report) },
  ]
  meter.sampled(
    'postern_upgrades_total',
    'counter',
    'Upgrades, by outcome: done over all processes that have handed over, refused by this one.',
    () => {
      const { done, refused } = upgrading.report
      return Object.entries({ done, refused }).map(([outcome, value]) => ({
        labels: { outcome },
        value,
      }))
    },
  )
  meter.sampled(
    'postern_earlier_processes',
    'gauge',
    'Processes that were replaced and have clients yet.',
    sample(({ earlier }) => earlier.processes),
  )
  meter.sampled(
    'postern_earlier_sessions',
    'gauge',
    'Clients of processes that were replaced.',
    sample(({ earlier }) => earlier.sessions),
  )
}
