/**
 * What a session costs that does nothing: the memory of a proxy with very many of them, before a
 * stub that answers logins, for no database holds so many connections.
 */
import { readFileSync } from 'node:fs'
import { run } from '../kit/command.ts'
import { concat, cstring, int32, message, startup } from '../kit/frontend.ts'
import type { WireAddress } from '../kit/wire.ts'
import { memoryBytes } from './processor.ts'
import { aligned, median } from './report.ts'
import { PLAIN, startTarget, type Target, type TargetName } from './targets.ts'

export const IDLE_BYTES_MAX = 6 * 1024

/** Buffers, caches and compiled code that the first sessions bring are not counted. */
const WARM_SHARE = 0.05
const OPENED_AT_ONCE = 100
/** Collectors of garbage, ours and theirs, come to rest. */
const SETTLE_MS = 3_000
/** Two ends of each session, here and in a proxy, and room above for whatever else is open. */
const DESCRIPTORS_A_SESSION = 2
const SPARE = 100

export interface IdleBench {
  readonly targets: readonly TargetName[]
  readonly sessions: number
  readonly rounds: number
  readonly plugin: string
  readonly say: (line: string) => void
  readonly settleMs?: number
}

export interface IdleRow {
  readonly target: TargetName
  readonly round: number
  readonly bytesEach: number
  readonly megabytes: number
}

/** Interleaved rounds, each with proxies of its own. */
export async function measureIdle(bench: IdleBench): Promise<IdleRow[]> {
  const sessions = await sessionsWithin(bench)
  using stub = listenStub()
  const rows: IdleRow[] = []
  for (let round = 1; round <= bench.rounds; round++) {
    for (const name of bench.targets) {
      const database = { ...stub.address, user: 'idle', database: 'idle', password: '' }
      const setting = { ...PLAIN, sessionsMax: sessions + SPARE }
      const target = await startTarget(name, { database, plugin: bench.plugin, setting })
      try {
        const row = { target: name, round, ...(await measureOne(target, { ...bench, sessions })) }
        bench.say(`round ${round}/${bench.rounds}  ${name}: ${row.bytesEach.toFixed(0)} bytes each`)
        rows.push(row)
      } finally {
        await target.stop()
      }
    }
  }
  return rows
}

async function measureOne(target: Target, { sessions, settleMs = SETTLE_MS }: IdleBench) {
  const held = (): number => target.pids.reduce((sum, pid) => sum + memoryBytes(pid), 0)
  const sockets: Bun.Socket[] = []
  const warm = Math.ceil(sessions * WARM_SHARE)
  try {
    await openSessions(target, warm, sockets)
    await Bun.sleep(settleMs)
    const before = held()
    await openSessions(target, sessions - warm, sockets)
    await Bun.sleep(settleMs)
    const after = held()
    return { bytesEach: (after - before) / (sessions - warm), megabytes: after / 1e6 }
  } finally {
    for (const socket of sockets) socket.terminate()
  }
}

const LOGGED_IN = concat(
  message('R', int32(0)),
  message('S', cstring('server_version'), cstring('18.0')),
  message('S', cstring('client_encoding'), cstring('UTF8')),
  message('K', int32(1), int32(1)),
  message('Z', new TextEncoder().encode('I')),
)

/** A database that lets everybody in and then says nothing. */
function listenStub() {
  const stub = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: { data: (socket) => void socket.write(LOGGED_IN) },
  })
  return {
    address: { host: '127.0.0.1', port: stub.port },
    [Symbol.dispose]: () => stub.stop(true),
  }
}

async function openSessions(to: WireAddress, count: number, sockets: Bun.Socket[]): Promise<void> {
  for (let opened = 0; opened < count; opened += OPENED_AT_ONCE) {
    const some = Math.min(OPENED_AT_ONCE, count - opened)
    sockets.push(...(await Promise.all(Array.from({ length: some }, () => openSession(to)))))
  }
}

async function openSession({ host, port }: WireAddress): Promise<Bun.Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let missing = LOGGED_IN.length
  const socket = await Bun.connect({
    hostname: host,
    port,
    socket: {
      data(_, chunk) {
        missing -= chunk.length
        if (missing === 0) resolve()
      },
      close: () => reject(new Error('a session was closed before it was idle')),
      error: (_, error) => reject(error),
    },
  })
  socket.write(startup({ user: 'idle', database: 'idle' }))
  await promise
  return socket
}

/** How many sessions the limit of descriptors has room for, once it is raised where it may be. */
async function sessionsWithin({ sessions, say }: IdleBench): Promise<number> {
  const needed = DESCRIPTORS_A_SESSION * (sessions + SPARE) + SPARE
  const limits = /^Max open files\s+(\d+)\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))
  const [soft = 0, hard = 0] = limits?.slice(1).map(Number) ?? []
  if (soft >= needed) return sessions
  const raise = (most: number) =>
    run(['prlimit', '--pid', String(process.pid), `--nofile=${most}:${Math.max(hard, most)}`])
  // Proxies are started by this process, and have its limits.
  if ((await raise(needed)).status === 0) return sessions
  const most = (await raise(hard)).status === 0 ? hard : soft
  const fewer = Math.floor((most - SPARE) / DESCRIPTORS_A_SESSION) - SPARE
  say(`${fewer} sessions instead of ${sessions}: ${most} descriptors are permitted, not ${needed}`)
  return fewer
}

export function idleTable(rows: readonly IdleRow[]): string {
  const names = [...new Set(rows.map(({ target }) => target))]
  return aligned([
    ['', 'bytes a session', 'MB in all'],
    ...names.map((name) => {
      const own = rows.filter(({ target }) => target === name)
      return [
        name,
        median(own.map(({ bytesEach }) => bytesEach)).toFixed(0),
        median(own.map(({ megabytes }) => megabytes)).toFixed(1),
      ]
    }),
  ])
}

/** True where the gateway keeps within its bound, or was not measured. */
export function isIdleMet(rows: readonly IdleRow[]): boolean {
  const own = rows.filter(({ target }) => target === 'postern').map(({ bytesEach }) => bytesEach)
  return own.length === 0 || median(own) <= IDLE_BYTES_MAX
}
