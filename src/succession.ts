/**
 * A gateway among the processes of its upgrades: whose place it takes, what it has of that one, and
 * who takes its own.
 */
import type { Logger } from 'pino'
import { reapFor } from './admin/process-notes.ts'
import type { GatewayState } from './admin/report.ts'
import { removeDeadInstances } from './admin/run-folder.ts'
import { version } from './base/build.ts'
import { GatewayError, sentenceOf } from './base/errors.ts'
import type { Generations } from './generations.ts'
import type { Meter } from './metrics/meter.ts'
import type { Supervision } from './supervision.ts'
import { Estate } from './tcp/estate.ts'
import { SoleSockets } from './tcp/sole-sockets.ts'
import type { Predecessor } from './upgrade/predecessor.ts'
import { declareUpgrades, type Replaced, Upgrading } from './upgrade/upgrading.ts'

export interface SuccessionOptions extends Pick<Replaced, 'sessions' | 'introduce'> {
  readonly log: Logger
  readonly meter: Meter
  readonly env: Replaced['env']
  /** The process whose place this one takes; null: there is none. */
  readonly predecessor: Predecessor | null
  /** The command line of the process that an upgrade starts. */
  readonly command: readonly string[]
  readonly state: () => GatewayState
  /** Resolves when no reload is under way. */
  readonly idle: () => Promise<void>
  readonly generations: () => Generations
  readonly supervision: () => Supervision | null
  /** Stops the gateway, as a signal does. */
  readonly stop: () => Promise<void>
  readonly force: () => void
}

export class Succession {
  readonly estate: Estate
  readonly upgrading: Upgrading
  readonly #options: SuccessionOptions
  readonly #predecessor: Predecessor | null

  constructor(options: SuccessionOptions) {
    this.#options = options
    this.#predecessor = options.predecessor
    this.estate = new Estate(this.#predecessor?.inheritance)
    const { log, env, command, sessions, introduce } = options
    this.upgrading = new Upgrading({
      log,
      env,
      command,
      estate: this.estate,
      predecessor: this.#predecessor,
      ready: () => this.#ready(),
      sessions,
      introduce,
      cancel: (group, request, done) => this.#cancel(group, request, done),
      reap: () => removeDeadInstances(env, { reap: (folder) => reapFor(log, folder) }),
      stop: (isForced) => this.#stop(isForced),
    })
    declareUpgrades(options.meter, this.upgrading)
  }

  /** True where this process is not the service yet. */
  get isAwaited(): boolean {
    return !this.estate.isAdmitted
  }

  /** For a gateway that serves its clients itself. */
  soleSockets(): SoleSockets {
    return new SoleSockets(this.estate, (group, request, done) =>
      this.cancelBefore(group, request, () => done()),
    )
  }

  /** A CancelRequest whose key nobody here knows may be for a client of the process before. */
  cancelBefore(group: string, request: Uint8Array, done: (known: boolean) => void): void {
    if (this.#predecessor === null) done(false)
    else this.#predecessor.cancel(group, request, done)
  }

  /** All is there: resolves when the clients are this process's. False: they were already. */
  async succeed(): Promise<boolean> {
    const predecessor = this.#predecessor
    if (predecessor === null) return false
    const { pid } = predecessor
    this.#options.log.info({ pid }, 'everything is there to take over from another process')
    await predecessor.takeOver(version, this.estate.settle())
    this.estate.admit()
    this.#options.supervision()?.admit()
    return true
  }

  /** Clients are accepted: resolves when the service manager knows of this process. */
  async serving(): Promise<void> {
    await this.#predecessor?.serving()
  }

  /** Resolves when the process before has ended, or after so long. */
  async earlierEnd(timeoutMs: number): Promise<void> {
    if (this.estate.isAdmitted) await this.#predecessor?.endsIn(timeoutMs)
  }

  /** Nobody takes over from one that stops; the clients of the process before are to go too. */
  async stopping(): Promise<void> {
    if (this.estate.isAdmitted) this.#predecessor?.stop(false)
    await this.upgrading.abandon()
  }

  force(): void {
    if (this.estate.isAdmitted) this.#predecessor?.stop(true)
  }

  async #ready() {
    const { state, idle, generations } = this.#options
    await idle()
    const config = generations().current?.config
    if (state() !== 'ready' || config === undefined) {
      throw new GatewayError('UPGRADE_REFUSED', `the gateway is ${state()}`)
    }
    return { timeoutMs: config.upgradeTimeout, earlierMax: config.upgradesMax }
  }

  #cancel(group: string, request: Uint8Array, done: (known: boolean) => void): void {
    const { generations, supervision } = this.#options
    if (generations().cancel(group, request, () => done(true))) return
    const workers = supervision()
    if (workers === null) this.cancelBefore(group, request, done)
    else workers.cancel(group, request, done)
  }

  #stop(isForced: boolean): void {
    const { log, stop, force } = this.#options
    if (isForced) force()
    stop().catch((thrown) => log.error({ err: thrown }, `no end in order: ${sentenceOf(thrown)}`))
  }
}
