/** A real Redis, or Valkey, for one test: started on a free port, without anything on disk. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findProgram } from '../bench/programs.ts'
import { freePort } from './free-port.ts'
import { startWatchdog } from './watchdog.ts'

/** Null where neither is installed (`apt-get install redis-server`): such tests are skipped. */
export const redisProgram = findProgram('redis-server') ?? findProgram('valkey-server')

const START_TIMEOUT_MS = 10_000

export interface RunningRedis {
  readonly port: number
  /** Runs one command and returns its answer, however the server is called. */
  ask(...command: readonly string[]): Promise<unknown>
  /** SIGKILL: all that it had is lost. */
  kill(): Promise<void>
  /** Starts it again on the same port. */
  restart(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export async function startRedis(args: readonly string[] = []): Promise<RunningRedis> {
  const port = await freePort()
  let running = await launch(port, args)
  return {
    port,
    async ask(name, ...rest) {
      const client = new Bun.RedisClient(`redis://127.0.0.1:${port}`, { autoReconnect: false })
      try {
        await client.connect()
        return await client.send(name!, [...rest])
      } finally {
        client.close()
      }
    },
    kill: () => running.kill(),
    async restart() {
      running = await launch(port, args)
    },
    async [Symbol.asyncDispose]() {
      await running.kill()
    },
  }
}

async function launch(port: number, args: readonly string[]): Promise<{ kill(): Promise<void> }> {
  if (redisProgram === null) throw new Error('neither redis-server nor valkey-server is installed')
  const folder = mkdtempSync(join(tmpdir(), 'postern-redis-'))
  const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', folder]
  const child = Bun.spawn([redisProgram, ...fixed, ...args], { stdout: 'ignore', stderr: 'ignore' })
  const watchdog = startWatchdog({ folder, signal: 'KILL', process: child.pid })
  const until = Date.now() + START_TIMEOUT_MS
  while (!(await answers(port))) {
    if (Date.now() > until || child.exitCode !== null) throw new Error('redis does not start')
    await Bun.sleep(10)
  }
  return {
    async kill() {
      child.kill('SIGKILL')
      await child.exited
      await watchdog.release()
    },
  }
}

async function answers(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data() {} } })
    socket.end()
    return true
  } catch {
    return false
  }
}
