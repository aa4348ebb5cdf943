/**
 * Tells the service manager that started us (systemd) how we are, by the rules of sd_notify(3):
 * ready, reloading, stopping, a line for `systemctl status`, and signs of life for its watchdog.
 */
import { sentenceOf } from '../base/errors.ts'
import { type NotifySocket, openNotifySocket } from './notify-socket.ts'
import type { StatusReport } from './report.ts'

/** How often the line for people is renewed where no watchdog asks for more. */
const BEAT_MS = 5_000
/** Beats in the time after which the watchdog would kill us: one late beat must not. */
const BEATS_A_WATCHDOG = 3
/** What a start may take longer from each beat on: it is bounded by its plugins' startTimeout. */
const STARTING_MS = 60_000
/** What the stop takes beside waiting for clients: plugins are told, and stopped. */
const STOPPING_MS = 30_000
/** Where there is no room for the message it is tried again, for a second. */
const HAND_OVER_TRIES = 50
const HAND_OVER_AGAIN_MS = 20
const MICROS_A_MS = 1_000

export interface ServiceManager {
  /** Clients can connect; also the end of a reload, however it went. */
  ready(): void
  /** A reload has begun; `ready` must follow. */
  reloading(): void
  /** The stop has begun; it waits for clients for so long. */
  stopping(drainTimeoutMs: number): void
  /** Another process is the service from here on; it is left to that one how the service is. */
  handOver(pid: number): Promise<void>
  /** No sign of life from here on. Idempotent. */
  leave(): void
}

export interface ServiceManagerOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly report: () => StatusReport
  /** Told why the manager cannot be. */
  readonly failed: (sentence: string) => void
}

/** Null where no service manager asks. From here on it knows that we are starting. */
export async function joinServiceManager({
  env,
  report,
  failed,
}: ServiceManagerOptions): Promise<ServiceManager | null> {
  const name = env['NOTIFY_SOCKET'] ?? ''
  if (name === '') return null
  try {
    const socket = await openNotifySocket(name)
    return new Membership(socket, watchdogMs(env), () => statusLine(report()))
  } catch (thrown) {
    failed(`NOTIFY_SOCKET=${name}: ${sentenceOf(thrown)}; the service manager hears nothing of us`)
    return null
  }
}

/** Null where no watchdog waits for signs of life, or it waits for those of another process. */
export function watchdogMs(env: ServiceManagerOptions['env']): number | null {
  const micros = Number(env['WATCHDOG_USEC'])
  if (!Number.isSafeInteger(micros) || micros <= 0) return null
  const pid = env['WATCHDOG_PID'] ?? ''
  return pid === '' || pid === String(process.pid) ? micros / MICROS_A_MS : null
}

/** One line, such as `ready: 12 sessions on 0.0.0.0:5432; 2 of 2 plugins ready`. */
export function statusLine({ state, listeners, sessions, plugins }: StatusReport): string {
  const addresses = listeners.map(({ address }) => address).join(', ')
  const where = addresses === '' ? '' : ` on ${addresses}`
  const count = sessions.open === 1 ? '1 session' : `${sessions.open} sessions`
  const who = plugins.total === 0 ? '' : `; ${plugins.ready} of ${plugins.total} plugins ready`
  return `${state}: ${count}${where}${who}`
}

class Membership implements ServiceManager {
  readonly #socket: NotifySocket
  readonly #watchdogMs: number | null
  readonly #line: () => string
  readonly #timer: NodeJS.Timeout
  #isStarting = true
  /** The last word on our state, while it was not taken: it is said again at every beat. */
  #unsaid: string | null = null
  #lastLine = ''

  constructor(socket: NotifySocket, watchdog: number | null, line: () => string) {
    this.#socket = socket
    this.#watchdogMs = watchdog
    this.#line = line
    const everyMs = Math.min(BEAT_MS, watchdog === null ? BEAT_MS : watchdog / BEATS_A_WATCHDOG)
    // A timer of the same loop as the traffic: where it does not turn, there is no sign of life.
    this.#timer = setInterval(() => this.#beat(), everyMs)
    this.#timer.unref()
    this.#beat()
  }

  ready(): void {
    this.#isStarting = false
    this.#state('READY=1')
  }

  reloading(): void {
    this.#state(`RELOADING=1\nMONOTONIC_USEC=${this.#socket.monotonicMicros()}`)
  }

  stopping(drainTimeoutMs: number): void {
    this.#isStarting = false
    this.#state(`STOPPING=1\n${extension(drainTimeoutMs + STOPPING_MS)}`)
  }

  async handOver(pid: number): Promise<void> {
    clearInterval(this.#timer)
    for (let count = 0; count < HAND_OVER_TRIES; count++) {
      if (this.#socket.send(`MAINPID=${pid}`)) break
      await Bun.sleep(HAND_OVER_AGAIN_MS)
    }
    this.leave()
  }

  leave(): void {
    clearInterval(this.#timer)
    this.#socket.close()
  }

  #state(words: string): void {
    this.#unsaid = words
    this.#beat()
  }

  #beat(): void {
    const line = this.#line()
    const words = [
      ...(this.#unsaid === null ? [] : [this.#unsaid]),
      ...(this.#isStarting ? [extension(STARTING_MS)] : []),
      ...(this.#watchdogMs === null ? [] : ['WATCHDOG=1']),
      ...(line === this.#lastLine ? [] : [`STATUS=${line}`]),
    ]
    if (words.length === 0 || !this.#socket.send(words.join('\n'))) return
    this.#unsaid = null
    this.#lastLine = line
  }
}

/** Never cuts a time that the service manager grants anyway. */
function extension(ms: number): string {
  return `EXTEND_TIMEOUT_USEC=${Math.ceil(ms) * MICROS_A_MS}`
}
