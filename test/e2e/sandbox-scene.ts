/**
 * What the end-to-end tests of the sandbox share: hostile plugins as entries, and a bystander whose
 * traffic no plugin asked for and none may harm.
 */
import { createHash } from 'node:crypto'
import { hostile } from '../fixtures/wasm/hostile/all.ts'
import { fileOf } from '../fixtures/wasm/kit.ts'
import { int16, int32, message } from '../kit/frontend.ts'
import type { RunningGateway } from '../kit/gateway.ts'
import type { PostgresServer } from '../kit/postgres.ts'
import { type Entry, login } from './plugins-scene.ts'

/** `pg_backend_pid()`, called by its number: a message that plugins which want Query do not get. */
const PID_FUNCTION = 2026
const CALL = message('F', int32(PID_FUNCTION), int16(0), int16(0), int16(0))
/** How long the bystander rests between its calls: a client that is busy, but not with us. */
const REST_MS = 2

/** What a bystander has seen. */
export interface Seen {
  readonly calls: number
  readonly worstMs: number
}

/** A client with traffic of its own beside an attack. */
export interface Bystander {
  /** Ends its traffic; rejects if any call did not get its reply. */
  stop(): Promise<Seen>
}

/** Begins to call a function of the server every few milliseconds. */
export async function beginTraffic(
  gateway: RunningGateway,
  postgres: PostgresServer,
): Promise<Bystander> {
  const wire = await login(gateway, postgres)
  let isOver = false
  let calls = 0
  let worstMs = 0
  const run = async (): Promise<void> => {
    while (!isOver) {
      const startedAt = performance.now()
      wire.send(CALL)
      await wire.expect('FunctionCallResponse')
      await wire.expect('ReadyForQuery')
      worstMs = Math.max(worstMs, performance.now() - startedAt)
      calls++
      await Bun.sleep(REST_MS)
    }
  }
  const running = run()
  // Whoever stops it hears of it.
  running.catch(() => undefined)
  const stop = async (): Promise<Seen> => {
    isOver = true
    await running
    await wire.terminate()
    return { calls, worstMs }
  }
  return { stop }
}

/** Bytes as the entry of a plugin, pinned. */
export async function entryFor(name: string, bytes: Uint8Array, more: Entry = {}): Promise<Entry> {
  const checksum = createHash('sha256').update(bytes).digest('hex')
  return { name, localPath: await fileOf(bytes), checksum, ...more }
}

/** A hostile module as an entry; with a mark it harms only where a statement asks for it. */
export function hostileEntry(name: string, mark?: string, more: Entry = {}): Promise<Entry> {
  return entryFor(name, hostile(name).make(mark), more)
}
