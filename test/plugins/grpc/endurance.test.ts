/**
 * Calls by the thousand to a plugin on HashiCorp's library, answered and not: what they leave
 * behind. `POSTERN_LONG` makes it a hundred thousand.
 */

import { heapStats } from 'bun:jsc'
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { makeIdentity } from '../../../src/plugins/grpc/cert.ts'
import { connect, type PluginClient } from '../../../src/plugins/grpc/client.ts'
import { environmentOf } from '../../../src/plugins/grpc/environment.ts'
import { parseHandshake } from '../../../src/plugins/grpc/handshake.ts'
import { LastLines } from '../../../src/plugins/grpc/last-lines.ts'
import { type Launched, launch } from '../../../src/plugins/grpc/launch.ts'
import { decodeStruct, encodeStruct } from '../../../src/plugins/grpc/struct.ts'
import { buildGoPlugin } from '../../fixtures/grpc/build.ts'
import { Folder } from '../../fixtures/grpc/surroundings.ts'

setDefaultTimeout(300_000)

const IS_LONG = process.env['POSTERN_LONG'] !== undefined
const CALLS = IS_LONG ? 100_000 : 4000
const TIMEOUTS = IS_LONG ? 2500 : 200
const IN_FLIGHT = 50
const REQUEST = encodeStruct({ request: new Uint8Array(200), error: '' })

const folder = new Folder()
let plugin: Launched | null = null
let client: PluginClient | null = null

async function startClient(path: string): Promise<[Launched, PluginClient]> {
  const identity = await makeIdentity()
  const spec = { env: [], inheritEnv: ['PATH'] }
  const settings = { certificate: identity.certificate, socketFolder: folder.path }
  const environment = environmentOf('echo', spec, process.env, settings)
  const printed = (): void => undefined
  const lastLines = new LastLines()
  const launched = await launch({ path, name: path, args: [], environment, printed, lastLines })
  return [launched, connect(parseHandshake(await launched.firstLine(20_000)), identity, 2 ** 20)]
}

/** Calls, `IN_FLIGHT` at once; gives how many failed for the time that was up. */
async function callOften(to: PluginClient, count: number, timeoutMs: number): Promise<number> {
  let left = count
  let late = 0
  const callOn = async (): Promise<void> => {
    while (left-- > 0) {
      try {
        decodeStruct(await to.call('OnTrafficFromClient', REQUEST, timeoutMs))
      } catch (thrown) {
        expect(thrown).toMatchObject({ code: 'PLUGIN_TIMEOUT' })
        late++
      }
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, callOn))
  return late
}

/** What calls could leave behind in this process, once everything has settled. */
async function leftovers(): Promise<{ streams: number; descriptors: number }> {
  // What is closed is closed at the next turns of the loop.
  for (let turn = 0; turn < 10; turn++) {
    await new Promise<void>((resolve) => setImmediate(resolve))
    Bun.gc(true)
  }
  const streams = heapStats().objectTypeCounts['ClientHttp2Stream'] ?? 0
  return { streams, descriptors: readdirSync('/proc/self/fd').length }
}

describe.skipIf(Bun.which('go') === null)('thousands of calls (needs Go)', () => {
  beforeAll(async () => {
    const path = (await buildGoPlugin()) ?? ''
    ;[plugin, client] = await startClient(path)
  }, 600_000)
  afterAll(async () => {
    client?.close()
    plugin?.kill()
    await plugin?.exited
    folder.remove()
  })

  test('leave no stream and no descriptor, answered or timed out', async () => {
    if (client === null || plugin === null) throw new Error('the plugin was not started')
    expect(await callOften(client, IN_FLIGHT, 20_000)).toBe(0)
    const before = await leftovers()
    expect(await callOften(client, CALLS, 20_000)).toBe(0)
    const between = await leftovers()
    expect(between.descriptors).toBe(before.descriptors)
    // A few may stand on the stack, where they are not known to be garbage.
    expect(between.streams).toBeLessThan(IN_FLIGHT)
    process.kill(plugin.pid, 'SIGSTOP')
    expect(await callOften(client, TIMEOUTS, 20)).toBe(TIMEOUTS)
    const stopped = await leftovers()
    expect(stopped.descriptors).toBe(before.descriptors)
    expect(stopped.streams).toBeLessThan(IN_FLIGHT)
    process.kill(plugin.pid, 'SIGCONT')
    expect(await callOften(client, IN_FLIGHT, 20_000)).toBe(0)
  })
})
