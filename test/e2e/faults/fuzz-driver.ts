/**
 * Drives mutated sessions through a gateway, from its clients or from its servers, beside one
 * client that behaves and holds a secret. Each mutated session has a deadline, and looks for the
 * secret in all that it gets.
 */
import { concat, query, terminate } from '../../kit/frontend.ts'
import type { RunningGateway } from '../../kit/gateway.ts'
import { type Random, seeded } from '../../kit/pipelines.ts'
import type { PostgresServer } from '../../kit/postgres.ts'
import { connectWire, openSession, type Wire, type WireAddress } from '../../kit/wire.ts'
import { mutated } from './mutations.ts'
import { mustBeFresh, planting } from './plants.ts'
import { makeUp, type Recording } from './recordings.ts'
import { inPieces } from './relay.ts'

const SESSION_TIMEOUT_MS = 15_000
const AT_ONCE = 8
/** How long a server that broke down is waited for. */
const RECOVERY_LOOKS = 50
const RECOVERY_LOOK_MS = 100
/** Sessions between two looks into a fresh one. */
const LOOK_EVERY = 25

export interface FuzzOptions {
  readonly gateway: RunningGateway
  readonly sessions: number
  readonly seed: number
  /** Recorded sessions of clients, which are mutated beside made up ones. */
  readonly recorded: readonly Recording[]
}

/** What a run has come to, for whoever wants to know that it tried something. */
export interface FuzzTally {
  sessions: number
  bytes: number
  /** Sessions that were told of an error by server or gateway. */
  refused: number
  /** How often the server itself broke down: that ends all its sessions, and is not ours. */
  crashes: number
}

/** The numbers of sessions from 0; whoever was interrupted can go on with those that are left. */
export function numbers(count: number): Iterator<number> {
  return Array.from({ length: count }, (_, number) => number).values()
}

/** Runs one session a number, some at the same time; at their end throws the first error. */
export async function each(
  rest: Iterator<number>,
  session: (number: number) => Promise<void>,
): Promise<void> {
  const errors: unknown[] = []
  const work = async (): Promise<void> => {
    for (let next = rest.next(); next.done !== true; next = rest.next()) {
      await session(next.value).catch((error: unknown) => errors.push(error))
      if (errors.length > 0) return
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  if (errors.length > 0) throw errors[0]
}

/** Throws what a session threw, with the seed that repeats it. */
export async function seeding(seed: number, session: () => Promise<void>): Promise<void> {
  try {
    await session()
  } catch (cause) {
    throw new Error(`POSTERN_SEED=${seed}: ${String(cause)}`, { cause })
  }
}

/** Sends what it says, in pieces, then its end; resolves with all that came until the very end. */
export async function exchange(at: WireAddress, said: Uint8Array, random: Random): Promise<Buffer> {
  const { socket } = await connectWire(at)
  const all: Buffer[] = []
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const sentence = `a session did not end within ${SESSION_TIMEOUT_MS} ms`
  const timer = setTimeout(() => reject(new Error(sentence)), SESSION_TIMEOUT_MS)
  socket.removeAllListeners('data').on('data', (chunk: Buffer) => all.push(chunk))
  socket.once('close', () => resolve())
  try {
    await inPieces(said, random, (piece) => void (socket.writable && socket.write(piece)))
    socket.end()
    await promise
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
  return Buffer.concat(all)
}

/** A client that behaves: it asks for its secret again and again while the others do not. */
export interface Bystander {
  readonly secret: string
  /** Ends it; throws where one of its queries had another answer than it must have. */
  leave(): Promise<number>
}

export async function startBystander(wire: Wire, secret: string): Promise<Bystander> {
  let asked = 0
  let leaving = false
  const asking = (async () => {
    while (!leaving) {
      const rows = await wire.rows(`select '${secret}'`)
      if (rows.length !== 1 || rows[0]?.[0] !== secret) throw new Error(`got ${String(rows)}`)
      asked += 1
      await new Promise(setImmediate)
    }
  })()
  // It is looked at when it leaves; until then nobody waits for it.
  asking.catch(() => {})
  return {
    secret,
    async leave() {
      leaving = true
      await asking
      wire.destroy()
      return asked
    },
  }
}

export function note(tally: FuzzTally, got: Buffer, secret: string): void {
  if (got.includes(secret)) throw new Error('it got what belongs to another session')
  tally.sessions += 1
  tally.bytes += got.length
  if (got.includes('SFATAL\0') || got.includes('SERROR\0')) tally.refused += 1
}

/** The same session, with secrets of its own planted behind its startup packet. */
function planted({ said }: Recording, typedFrom: number, secret: string): Uint8Array {
  const plants = planting(secret).map(query)
  return concat(said.subarray(0, typedFrom), ...plants, said.subarray(typedFrom), terminate())
}

/**
 * Mutated clients before a real server. Every client plants secrets of its own; with pools, where
 * server connections go from one client to the next, as without, a fresh session must find none.
 */
export async function fuzzClients(
  server: PostgresServer,
  { gateway, sessions, seed, recorded }: FuzzOptions,
): Promise<FuzzTally> {
  const { user, database, password } = server
  const at = { user, database, password, host: gateway.host, port: gateway.port }
  const secret = `secret_${crypto.randomUUID().replaceAll('-', '')}`
  const tally: FuzzTally = { sessions: 0, bytes: 0, refused: 0, crashes: 0 }
  const session = (number: number) =>
    seeding(seed + number, async () => {
      const random = seeded(seed + number)
      const recording = random.chance(0.2) ? random.pick(recorded) : makeUp(random, server)
      const other = random.pick(recorded).said
      const typedFrom = new DataView(recording.said.buffer).getUint32(0)
      const whole = planted(recording, typedFrom, `plant_${number}`)
      const said = mutated(random, whole, { typedFrom, other })
      note(tally, await exchange(gateway, said, random), secret)
      if (number % LOOK_EVERY !== 0) return
      using fresh = await openSession(at)
      await mustBeFresh(fresh)
    })
  const rest = numbers(sessions)
  for (let isDone = false; !isDone; ) {
    const crash = lastCrash(server)
    try {
      const bystander = await startBystander(await openSession(at), secret)
      await each(rest, session)
      if ((await bystander.leave()) === 0) throw new Error('the bystander was never served')
      isDone = true
    } catch (error) {
      if (!(await hasRecovered(server, crash))) throw error
      tally.crashes += 1
    }
  }
  return tally
}

/** The line of its log about the last of its processes that broke down. */
function lastCrash(server: PostgresServer): string | undefined {
  return server
    .log()
    .match(/^.*was terminated by signal.*$/gm)
    ?.at(-1)
}

/** True where it is the server that has broken down since; it takes clients again by then. */
async function hasRecovered(server: PostgresServer, before: string | undefined): Promise<boolean> {
  for (let looks = 0; looks < RECOVERY_LOOKS; looks++) {
    await Bun.sleep(RECOVERY_LOOK_MS)
    if (lastCrash(server) === before) continue
    const wire = await openSession(server).catch(() => null)
    wire?.destroy()
    if (wire !== null) return true
  }
  return false
}
