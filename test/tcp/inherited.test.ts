/** Listening sockets that processes share: nothing that waits is lost, whoever opened it ends. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Socket } from 'bun'
import {
  adoptListening,
  type SharedListening,
  shareListening,
  withholdListening,
} from '../../src/tcp/inherited.ts'
import { mustRun } from '../kit/command.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-inherited-'))
const compiled = join(folder, 'inherited')
afterAll(() => rmSync(folder, { recursive: true }))
beforeAll(async () => {
  const entry = join(import.meta.dir, 'inherited-process.ts')
  const form = ['--compile', '--minify', '--bytecode', '--format=esm']
  await mustRun([process.execPath, 'build', ...form, entry, `--outfile=${compiled}`])
})

const PLACE = 'servers.shop.address'
const refusing = { open: () => expect.unreachable('accepted'), data() {} }
const KINDS = ['tcp', 'unix'] as const
type Kind = (typeof KINDS)[number]
let count = 0

/** A listening socket from which nobody accepts yet, and how to connect to it. */
function opened(kind: Kind): {
  shared: SharedListening<undefined>
  connect: () => Promise<Client>
} {
  if (kind === 'unix') {
    const unix = join(folder, `${++count}.sock`)
    const listening = Bun.listen<undefined>({ unix, socket: refusing })
    return { shared: withholdListening(listening, PLACE), connect: () => connect({ unix }) }
  }
  const listening = Bun.listen<undefined>({ hostname: '127.0.0.1', port: 0, socket: refusing })
  const { port } = listening
  return {
    shared: withholdListening(listening, PLACE),
    connect: () => connect({ hostname: '127.0.0.1', port }),
  }
}

interface Client {
  /** The number of the process that greeted. */
  readonly greeting: Promise<string>
}

type Target = { readonly unix: string } | { readonly hostname: string; readonly port: number }

async function connect(target: Target): Promise<Client> {
  const { promise: greeting, resolve, reject } = Promise.withResolvers<string>()
  greeting.catch(() => undefined)
  const socket = {
    data(connection: Socket<undefined>, chunk: Uint8Array) {
      resolve(Buffer.from(chunk).toString().trim())
      connection.terminate()
    },
    close: () => reject(new Error('closed without a greeting')),
  }
  await ('unix' in target
    ? Bun.connect<undefined>({ ...target, socket })
    : Bun.connect<undefined>({ ...target, socket }))
  return { greeting }
}

/** Starts the compiled process on a listening socket. */
async function start(descriptor: number) {
  const child = Bun.spawn([compiled], { stdio: ['pipe', 'pipe', 'inherit', descriptor] })
  const words = child.stdout.getReader()
  const hear = async (word: string): Promise<void> => {
    expect(Buffer.from((await words.read()).value ?? []).toString()).toBe(`${word}\n`)
  }
  await hear('listening')
  const tell = async (word: string): Promise<void> => {
    child.stdin.write(`${word}\n`)
    child.stdin.flush()
    await hear(`${word}d`)
  }
  return { pid: String(child.pid), tell, end: () => child.kill('SIGKILL'), ended: child.exited }
}

const greetings = (clients: readonly Client[]) =>
  Promise.all(clients.map(({ greeting }) => greeting))
const several = (one: () => Promise<Client>, many = 20): Promise<Client[]> =>
  Promise.all(Array.from({ length: many }, one))

describe.each(KINDS)('a listening socket (%s)', (kind) => {
  test('is accepted from by its heir, also what waited before', async () => {
    const { shared, connect } = opened(kind)
    const waiting = await several(connect)
    const child = await start(shared.descriptor)
    expect(new Set(await greetings([...waiting, ...(await several(connect))]))).toEqual(
      new Set([child.pid]),
    )
    child.end()
    shared.stop()
  })

  test('outlives whoever accepts: what waits goes to the next one', async () => {
    const { shared, connect } = opened(kind)
    const first = await start(shared.descriptor)
    await first.tell('pause')
    const waiting = await several(connect)
    first.end()
    await first.ended
    const second = await start(shared.descriptor)
    expect(new Set(await greetings(waiting))).toEqual(new Set([second.pid]))
    second.end()
    shared.stop()
  })

  test('outlives whoever opened it: what waited then is accepted', async () => {
    const { shared, connect } = opened(kind)
    const child = await start(shared.descriptor)
    await child.tell('pause')
    const waiting = await several(connect)
    shared.stop()
    await child.tell('resume')
    expect(new Set(await greetings(waiting))).toEqual(new Set([child.pid]))
    child.end()
  })

  test('is let go of by one process without loss for the others; its path stays', async () => {
    const { shared, connect } = opened(kind)
    const [one, other] = [await start(shared.descriptor), await start(shared.descriptor)]
    await one.tell('stop')
    expect(new Set(await greetings(await several(connect)))).toEqual(new Set([other.pid]))
    one.end()
    other.end()
    shared.stop()
  })

  test('leaves what comes to the others while it is paused', async () => {
    const { shared, connect } = opened(kind)
    const [one, other] = [await start(shared.descriptor), await start(shared.descriptor)]
    await one.tell('pause')
    expect(new Set(await greetings(await several(connect)))).toEqual(new Set([other.pid]))
    await one.tell('resume')
    await other.tell('pause')
    expect(new Set(await greetings(await several(connect)))).toEqual(new Set([one.pid]))
    one.end()
    other.end()
    shared.stop()
  })
})

describe('a paused listener', () => {
  test('accepts none of those that wait beside the one at which it was paused', async () => {
    const accepted: Socket<undefined>[] = []
    let shared: SharedListening<undefined> | null = null
    const socket = {
      open(client: Socket<undefined>) {
        accepted.push(client)
        client.write('hello')
        shared?.pause()
      },
      data() {},
    }
    const listening = Bun.listen<undefined>({ hostname: '127.0.0.1', port: 0, socket })
    shared = shareListening(listening, { place: PLACE })
    shared.pause()
    const { port } = listening
    const clients = await several(() => connect({ hostname: '127.0.0.1', port }), 3)
    for (const turn of [1, 2, 3]) {
      expect(shared.hasWaiting()).toBe(true)
      shared.resume()
      await Promise.race(clients.map(({ greeting }) => greeting))
      await Bun.sleep(0)
      expect(accepted.length).toBe(turn)
    }
    await greetings(clients)
    expect(shared.hasWaiting()).toBe(false)
    for (const client of accepted) client.terminate()
    shared.stop()
    shared.stop()
  })
})

describe('what cannot be adopted is refused by name', () => {
  test('a file', () => {
    const descriptor = openSync('/dev/null', 'r')
    expect(() => adoptListening(descriptor, refusing, PLACE)).toThrow(
      /servers\.shop\.address: descriptor \d+ is no listening socket, so that its listening/,
    )
  })

  test('a descriptor that is not open', () => {
    expect(() => adoptListening(999, refusing, PLACE)).toThrow('descriptor 999 is no listening')
  })
})
