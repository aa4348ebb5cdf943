/** The sockets of a gateway over upgrades: found by address, accepted from at the right time. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Address } from '../../src/base/address.ts'
import { Estate, type HandedSocket, Inheritance } from '../../src/tcp/estate.ts'
import type { Wanted } from '../../src/tcp/sharing.ts'
import { SoleSockets } from '../../src/tcp/sole-sockets.ts'
import type { ClientSide } from '../../src/tcp/tls.ts'
import { until } from '../kit/traffic.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'estate-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

const tcp = (host: string, port: number): Address => ({ network: 'tcp', host, port })

/** What a listener asks for; counts those whom it accepts. */
function wanted(address: Address) {
  const accepted = { count: 0 }
  const handlers = {
    open(socket: { terminate(): void }) {
      accepted.count += 1
      socket.terminate()
    },
    data() {},
  }
  const open = () =>
    address.network === 'unix'
      ? Bun.listen<ClientSide>({ unix: address.path, socket: handlers })
      : Bun.listen<ClientSide>({ hostname: address.host, port: address.port, socket: handlers })
  const asked: Wanted = { group: 'default', address, handlers, open }
  return { asked, accepted }
}

async function connect(address: Address): Promise<void> {
  const socket = { data() {} }
  if (address.network === 'unix') await Bun.connect({ unix: address.path, socket })
  else await Bun.connect({ hostname: address.host, port: address.port, socket })
}

/** Two processes in one: what the first offers is what the second inherits. */
function inherited(offered: readonly HandedSocket[]): Estate {
  return new Estate(
    new Inheritance(offered.map(({ asked, bound, descriptor }) => ({ asked, bound, descriptor }))),
  )
}

describe.each(['tcp', 'unix'] as const)('a socket (%s)', (network) => {
  const place = (name: string): Address =>
    network === 'unix' ? { network, path: join(folder, name) } : tcp('127.0.0.1', 0)

  test('is accepted from by the first, then by the second, and none is lost', async () => {
    const address = place('one')
    const before = wanted(address)
    const first = new Estate()
    const open = first.open(before.asked)
    const after = wanted(address)
    const second = inherited(first.offer())
    expect(second.isThere(address)).toBe(true)
    const taken = second.open(after.asked)
    expect(second.isThere(address)).toBe(false)
    expect(taken.bound).toEqual(open.bound)
    await connect(open.bound)
    await until('the first has it', () => before.accepted.count === 1)
    open.handOn()
    await connect(open.bound)
    expect(second.settle()).toEqual([0])
    second.admit()
    await until('the second has it', () => after.accepted.count === 1)
    open.stop()
    await connect(open.bound)
    await until('the second has this one too', () => after.accepted.count === 2)
    expect(before.accepted.count).toBe(1)
    const path = address.network === 'unix' ? address.path : folder
    expect(existsSync(path)).toBe(true)
    taken.stop()
    expect(existsSync(path)).toBe(network === 'tcp')
  })

  test('stays with the first, path and all, where the second is given up', async () => {
    const address = place('two')
    const before = wanted(address)
    const first = new Estate()
    const open = first.open(before.asked)
    const second = inherited(first.offer())
    second.open(wanted(address).asked).stop()
    await connect(open.bound)
    await until('the first has it', () => before.accepted.count === 1)
    open.stop()
  })
})

test('an address is the same however it is written, and by the port that was taken', () => {
  const handed = (asked: Address, bound: Address) => ({ asked, bound, descriptor: -1 })
  const inheritance = new Inheritance([
    handed(tcp('', 5432), tcp('', 5432)),
    handed(tcp('127.0.0.1', 0), tcp('127.0.0.1', 40_000)),
  ])
  expect(inheritance.has(tcp('0.0.0.0', 5432))).toBe(true)
  expect(inheritance.has(tcp('127.0.0.1', 5432))).toBe(false)
  expect(inheritance.has({ network: 'unix', path: '/5432' })).toBe(false)
  expect(inheritance.take(tcp('127.0.0.1', 40_000))?.asked).toEqual(tcp('127.0.0.1', 0))
  expect(inheritance.has(tcp('127.0.0.1', 0))).toBe(false)
  expect(inheritance.adopted).toEqual([1])
})

test('a server of Bun’s is handed over in the same way', async () => {
  const serve = (text: string) => (at: Parameters<Parameters<Estate['openServer']>[1]>[0]) =>
    Bun.serve({ ...at, fetch: () => new Response(text) })
  const address = { network: 'tcp', host: '127.0.0.1', port: 0 } as const
  const first = new Estate()
  const one = first.openServer(address, serve('first'), 'metrics')
  const ask = async (): Promise<string> => {
    const url = `http://127.0.0.1:${one.address.port}`
    return await (await fetch(url, { keepalive: false })).text()
  }
  const [offered] = first.offer()
  const second = inherited([offered!])
  const other = second.openServer(address, serve('second'), 'metrics')
  expect(other.address).toEqual(one.address)
  expect(await ask()).toBe('first')
  offered!.socket.handOn()
  expect(one.isHandedOn).toBe(true)
  second.admit()
  expect(await ask()).toBe('second')
  one.forget()
  await one.server.stop(true)
  expect(await ask()).toBe('second')
  other.forget()
  await other.server.stop(true)
  expect(ask()).rejects.toThrow()
})

test('a gateway of one process counts its sessions itself, and has cancels carried', () => {
  const carried: string[] = []
  const sockets = new SoleSockets(new Estate(), (group, _request, done) => {
    carried.push(group)
    done()
  })
  expect([sockets.sessions(), sockets.share(7), sockets.serves]).toEqual([null, 7, true])
  sockets.cancel('shop', new Uint8Array(16), () => carried.push('done'))
  expect(carried).toEqual(['shop', 'done'])
})
