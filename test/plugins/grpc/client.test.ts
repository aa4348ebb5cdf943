/** Calls over a real socket with mutual TLS, against a server of the plugin kit in this process. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { type Server, ServerCredentials } from '@grpc/grpc-js'
import { GatewayError } from '../../../src/base/errors.ts'
import { type Identity, makeIdentity } from '../../../src/plugins/grpc/cert.ts'
import { connect, type PluginClient } from '../../../src/plugins/grpc/client.ts'
import type { Address } from '../../../src/plugins/grpc/handshake.ts'
import { decodeMessage, encodeMessage, secretsOf, serverOf } from '../../fixtures/grpc/kit.ts'
import { Folder } from '../../fixtures/grpc/surroundings.ts'

// Processes are started, on machines that have other things to do.
setDefaultTimeout(60_000)

const RESULT_BYTES_MAX = 10_000_000

const folder = new Folder()
const path = join(folder.path, 's')
const clients: PluginClient[] = []
let server: Server
let tcpPort = 0
let gateway: Identity
let plugin: Identity
let stranger: Identity
let arrived = (): void => undefined

const SOURCE = {
  description: {},
  hooks: [],
  output: Buffer.from('first line\nsecond'),
  on: {
    OnTick: () => new Promise<never>(() => arrived()),
    OnRun: () => ({ bytes: new Uint8Array(RESULT_BYTES_MAX) }),
    OnSignal: () => {
      throw new Error(`unwell ${'x'.repeat(10_000)}`)
    },
  },
}

async function bind(address: string, secrets: ServerCredentials): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  server.bindAsync(address, secrets, (error, port) => (error ? reject(error) : resolve(port)))
  return await promise
}

beforeAll(async () => {
  gateway = await makeIdentity()
  plugin = await makeIdentity()
  stranger = await makeIdentity()
  server = serverOf(SOURCE, () => undefined)
  await bind(`unix:${path}`, secretsOf(plugin, gateway.certificate))
  tcpPort = await bind('127.0.0.1:0', secretsOf(plugin, gateway.certificate))
})
afterEach(() => {
  for (const client of clients.splice(0)) client.close()
})
afterAll(() => {
  server.forceShutdown()
  folder.remove()
})

function client(
  certificate = plugin.certificate,
  identity = gateway,
  address: Address = { network: 'unix', path },
): PluginClient {
  const made = connect({ address, certificate }, identity, RESULT_BYTES_MAX)
  clients.push(made)
  return made
}

const request = encodeMessage({ request: Uint8Array.of(1, 2, 3) })

describe('a call', () => {
  test('is answered over a Unix socket and over TCP', async () => {
    const tcp: Address = { network: 'tcp', host: '127.0.0.1', port: tcpPort }
    for (const each of [client(), client(plugin.certificate, gateway, tcp)]) {
      const answer = await each.call('OnTraffic', request, 5000)
      expect(decodeMessage(answer)).toEqual({ request: Uint8Array.of(1, 2, 3) })
    }
  })

  test('is answered beside a hundred others', async () => {
    const one = client()
    const calls = Array.from({ length: 100 }, (_, n) =>
      one.call('OnTraffic', encodeMessage({ n }), 5000),
    )
    const answers = await Promise.all(calls)
    expect(answers.map((answer) => decodeMessage(answer)['n'])).toEqual(calls.map((_, n) => n))
  })

  test('of several megabytes comes through both ways', async () => {
    const bytes = new Uint8Array(8 * 1024 * 1024).fill(7)
    const answer = await client().call('OnTraffic', encodeMessage({ bytes }), 20_000)
    expect(Buffer.compare(Buffer.from(answer), Buffer.from(encodeMessage({ bytes })))).toBe(0)
  })

  test('that is not answered in time fails with the time it had', async () => {
    const attempt = client().call('OnTick', request, 100)
    expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_TIMEOUT' })
    await expect(attempt).rejects.toThrow('OnTick was not answered in 100 ms')
  })

  test('that the plugin fails says how, in short', async () => {
    const attempt = client().call('OnSignal', request, 5000)
    expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_CALL' })
    await expect(attempt).rejects.toThrow('OnSignal failed: INTERNAL: Error: unwell xxx')
    expect((await attempt.catch(String)).length).toBeLessThan(700)
  })

  test('of a method that there is not fails', async () => {
    const attempt = client().call('OnNothing', request, 5000)
    await expect(attempt).rejects.toThrow('OnNothing failed: UNIMPLEMENTED')
  })

  test('whose result is larger than the limit fails, and the next one does not', async () => {
    const one = client()
    const attempt = one.call('OnRun', request, 20_000)
    await expect(attempt).rejects.toThrow('OnRun failed: RESOURCE_EXHAUSTED')
    expect(await one.call('OnTraffic', request, 5000)).toEqual(Buffer.from(request))
  })
})

describe('identities', () => {
  test('a plugin with another certificate than it told is not spoken to', async () => {
    const attempt = client(stranger.certificate).call('OnTraffic', request, 5000)
    await expect(attempt).rejects.toThrow(/OnTraffic failed: UNAVAILABLE: .*certificate/i)
  })

  test('a plugin does not speak to another gateway', async () => {
    const attempt = client(plugin.certificate, stranger).call('OnTraffic', request, 5000)
    await expect(attempt).rejects.toThrow('OnTraffic failed: UNAVAILABLE')
  })

  test('a plugin without TLS is not spoken to', async () => {
    const plain = join(folder.path, 'plain')
    await bind(`unix:${plain}`, ServerCredentials.createInsecure())
    const attempt = client(plugin.certificate, gateway, { network: 'unix', path: plain })
    await expect(attempt.call('OnTraffic', request, 5000)).rejects.toThrow('UNAVAILABLE')
  })
})

describe('a failed plugin', () => {
  test('fails its calls in flight now, and the later ones at once', async () => {
    const one = client()
    const { promise, resolve } = Promise.withResolvers<void>()
    arrived = resolve
    const inFlight = one.call('OnTick', request, 60_000)
    await promise
    one.fail(new GatewayError('PLUGIN_EXITED', 'the process was killed by SIGSEGV'))
    await expect(inFlight).rejects.toThrow('killed by SIGSEGV')
    await expect(one.call('OnTraffic', request, 60_000)).rejects.toThrow('killed by SIGSEGV')
    expect(await one.ping(60_000)).toBe(false)
  })

  test('whose socket is gone fails the call, and does not wait for its time', async () => {
    const one = client(plugin.certificate, gateway, { network: 'unix', path: '/nowhere/s' })
    await expect(one.call('OnTraffic', request, 60_000)).rejects.toThrow('UNAVAILABLE')
  })
})

describe('the side services', () => {
  test('a ping is answered by a plugin that serves', async () => {
    expect(await client().ping(5000)).toBe(true)
  })

  test('a ping of a socket that is silent is not, in time', async () => {
    const silent = join(folder.path, 'silent')
    const listening = Bun.listen({ unix: silent, socket: { data: () => undefined } })
    const one = client(plugin.certificate, gateway, { network: 'unix', path: silent })
    expect(await one.ping(100)).toBe(false)
    listening.stop(true)
  })

  test('a ping is heard though this process could not listen in its time', async () => {
    const one = client()
    await one.ping(5000)
    const ping = one.ping(100)
    const busyUntil = performance.now() + 300
    while (performance.now() < busyUntil);
    expect(await ping).toBe(true)
  })

  test('a shutdown settles, whether it is answered or not', async () => {
    await client().shutdown(5000)
    await client(stranger.certificate).shutdown(5000)
  })

  test('the output is given as it comes, and the end of it when the connection ends', async () => {
    const one = client()
    const { promise, resolve } = Promise.withResolvers<string>()
    const ended = one.drain((channel, chunk) => resolve(`${channel} ${Buffer.from(chunk)}`))
    expect(await promise).toBe('stdout first line\nsecond')
    one.close()
    one.close()
    expect(await ended).toContain('CANCELLED')
  })
})
