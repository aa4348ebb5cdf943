/** A plugin on HashiCorp's own library, as all of GatewayD's are; skipped where there is no Go. */
import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { createGrpcPlugin } from '../../../src/plugins/grpc/plugin.ts'
import type { Plugin } from '../../../src/plugins/plugin.ts'
import { buildGoPlugin } from '../../fixtures/grpc/build.ts'
import {
  carriedOf,
  Folder,
  KeptLog,
  query,
  sessionOf,
  specOf,
  surroundingsOf,
} from '../../fixtures/grpc/surroundings.ts'

// Processes are started, on machines that have other things to do.
setDefaultTimeout(60_000)

const folder = new Folder()
const plugins: Plugin[] = []
let log = new KeptLog()
let path = ''

afterEach(async () => {
  await Promise.all(plugins.splice(0).map((plugin) => plugin.stop()))
})
afterAll(() => folder.remove())

async function started(timeoutMs = 20_000): Promise<Plugin> {
  log = new KeptLog()
  const plugin = createGrpcPlugin(specOf(path, { timeoutMs }), surroundingsOf(log, folder))
  plugins.push(plugin)
  await plugin.start()
  return plugin
}

async function decide(plugin: Plugin, sql: string) {
  return await plugin.steps.onTrafficFromClient?.decide(sessionOf(), query(sql), carriedOf())
}

describe.skipIf(Bun.which('go') === null)("a plugin on HashiCorp's library (needs Go)", () => {
  // The first build fetches modules and compiles gRPC.
  beforeAll(async () => {
    path = (await buildGoPlugin()) ?? ''
  }, 600_000)

  test('is started, asked and told to end, and leaves nothing', async () => {
    const plugin = await started()
    expect(plugin.manifest).toMatchObject({
      version: '0.1.0',
      hooks: ['onTrafficFromClient', 'onTrafficFromServer'],
    })
    expect(await decide(plugin, 'select 1')).toEqual({ kind: 'continue' })
    expect(await decide(plugin, '/*deny*/')).toMatchObject({ kind: 'deny', code: '42000' })
    const reply = query('any bytes')
    const fromServer = plugin.steps.onTrafficFromServer?.decide(sessionOf(), reply, carriedOf())
    expect(await fromServer).toEqual({ kind: 'continue' })
    await plugin.stop()
    expect(readdirSync(folder.path)).toEqual([])
  })

  test('that prints more than a pipe holds goes on, for its output is drained', async () => {
    const plugin = await started()
    expect(await decide(plugin, '/*shout*/')).toEqual({ kind: 'continue' })
    for (const letter of ['e', 'o']) await log.find((each) => each.msg === letter.repeat(1023))
  })

  test('logs by hclog, with level and fields', async () => {
    const plugin = await started()
    await decide(plugin, '/*log*/')
    const record = await log.find((each) => each.msg === 'seen by the plugin')
    expect(record).toMatchObject({
      level: 40,
      plugin: 'tried',
      fields: { module: 'echo', count: 1 },
    })
  })

  test('that panics has failed at once, and its last words are errors', async () => {
    const plugin = await started()
    const { promise, resolve } = Promise.withResolvers<string>()
    plugin.onStateChange = resolve
    expect(await decide(plugin, '/*panic*/')).toMatchObject({ kind: 'failure' })
    expect(await promise).toBe('failing')
    expect(plugin.status().lastError).toBe('the process ended with code 2')
    expect((await log.find((each) => each.msg === 'panic: as it was told to')).level).toBe(50)
    expect((await log.find((each) => each.msg.includes('main.go'))).level).toBe(50)
  })
})
