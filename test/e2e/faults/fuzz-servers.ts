/** A server that answers each client with what a real one has said, mutated; and its clients. */
import { createServer, type Socket } from 'node:net'
import { concat, startup } from '../../kit/frontend.ts'
import { type Random, seeded } from '../../kit/pipelines.ts'
import type { PostgresServer } from '../../kit/postgres.ts'
import { connectWire, type WireAddress } from '../../kit/wire.ts'
import { server as says } from '../../protocols/postgres/stage.ts'
import { GREETING } from '../../tcp/scene.ts'
import {
  each,
  exchange,
  type FuzzOptions,
  type FuzzTally,
  note,
  numbers,
  seeding,
  startBystander,
} from './fuzz-driver.ts'
import { mutated } from './mutations.ts'
import { makeUp } from './recordings.ts'
import { inPieces } from './relay.ts'

/** Sessions made up, whose answers are recorded from a real server. */
const MADE_UP = 40
const BYSTANDER = 'bystander'
const USER = 'fuzzed'

/** What a client has said, behind its startup packet, and what it got for it. */
interface Talk {
  readonly said: Uint8Array
  readonly got: Uint8Array
}

async function recordTalks(
  server: PostgresServer,
  { recorded, seed }: Pick<FuzzOptions, 'recorded' | 'seed'>,
): Promise<Talk[]> {
  const random = seeded(seed)
  const madeUp = Array.from({ length: MADE_UP }, () => makeUp(random, server))
  const talks: Talk[] = []
  for (const { said } of [...recorded, ...madeUp]) {
    const got = await exchange(server, said, random)
    const typedFrom = new DataView(said.buffer).getUint32(0)
    talks.push({ said: said.subarray(typedFrom), got: new Uint8Array(got) })
  }
  return talks
}

export interface RubbishServer extends WireAddress {
  /** What the client of this number is answered. */
  readonly answers: Map<number, (socket: Socket) => Promise<void>>
  secret: string
  [Symbol.asyncDispose](): Promise<void>
}

/** Knows clients by their user name: the bystander, or `fuzzed` and a number. */
export async function startRubbishServer(): Promise<RubbishServer> {
  const sockets = new Set<Socket>()
  const answers = new Map<number, (socket: Socket) => Promise<void>>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    let opening = Buffer.alloc(0)
    const hear = (chunk: Buffer): void => {
      opening = Buffer.concat([opening, chunk])
      if (opening.length < 4 || opening.length < opening.readUInt32BE(0)) return
      socket.off('data', hear)
      const packet = opening.subarray(0, opening.readUInt32BE(0)).toString('latin1')
      const number = /fuzzed(\d+)/.exec(packet)?.[1]
      if (number === undefined) {
        socket
          .on('end', () => socket.end())
          .on('data', () => socket.write(secretRow(rubbish.secret)))
        socket.write(GREETING)
      } else {
        socket.resume()
        void answers.get(Number(number))?.(socket)
      }
    }
    socket.on('data', hear)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const rubbish: RubbishServer = {
    host: '127.0.0.1',
    port: address.port,
    answers,
    secret: '',
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => void server.close(() => resolve()))
    },
  }
  return rubbish
}

function secretRow(secret: string): Uint8Array {
  return concat(says.row(secret), says.complete('SELECT 1'), says.ready())
}

async function answer(socket: Socket, bytes: Uint8Array, random: Random): Promise<void> {
  await inPieces(bytes, random, (piece) => void (socket.writable && socket.write(piece)))
  if (random.chance(0.2)) socket.resetAndDestroy()
  else socket.end()
}

/** Mutated servers before clients that behave: what breaks ends that session, and no other. */
export async function fuzzServers(
  server: PostgresServer,
  rubbish: RubbishServer,
  { gateway, sessions, seed, recorded }: FuzzOptions,
): Promise<FuzzTally> {
  const talks = await recordTalks(server, { recorded, seed })
  rubbish.secret = `secret_${crypto.randomUUID().replaceAll('-', '')}`
  const wire = await connectWire(gateway)
  wire.send(startup({ user: BYSTANDER }))
  await wire.readUntil('ReadyForQuery')
  const bystander = await startBystander(wire, rubbish.secret)
  const tally: FuzzTally = { sessions: 0, bytes: 0, refused: 0, crashes: 0 }
  await each(numbers(sessions), (number) =>
    seeding(seed + number, async () => {
      const random = seeded(seed + number)
      const { said, got } = random.pick(talks)
      const whole = concat(startup({ user: `${USER}${number}` }), said)
      const bytes = mutated(random, got, { typedFrom: 0, other: random.pick(talks).got })
      rubbish.answers.set(number, (socket) => answer(socket, bytes, random))
      note(tally, await exchange(gateway, whole, random), rubbish.secret)
      rubbish.answers.delete(number)
    }),
  )
  if ((await bystander.leave()) === 0) throw new Error('the bystander was never served')
  return tally
}
