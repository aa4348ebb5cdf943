import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checksumOf } from '../../src/cli/checksum.ts'
import { readPluginFiles } from '../../src/cli/plugin-files.ts'
import { modulePath } from '../fixtures/wasm/kit.ts'

let home = ''
let audit = ''
let program = ''
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'files-'))
  audit = await modulePath('audit')
  program = join(home, 'guard')
  writeFileSync(program, '#!/bin/sh\ntouch "$0.was-run"\n', { mode: 0o755 })
  writeFileSync(join(home, 'g.yaml'), 'clients: {default: {writes: {address: "127.0.0.1:5432"}}}\n')
})
afterAll(() => rmSync(home, { recursive: true }))

async function read(plugins: readonly unknown[]) {
  writeFileSync(join(home, 'p.yaml'), JSON.stringify({ plugins }))
  return readPluginFiles({
    configPath: join(home, 'g.yaml'),
    pluginsPath: join(home, 'p.yaml'),
    env: {},
  })
}

test('a pinned WASM plugin tells its version and hooks', async () => {
  const checksum = await checksumOf(audit)
  const [report] = await read([{ name: 'audit', localPath: audit, checksum }])
  expect(report).toMatchObject({
    name: 'audit',
    runtime: 'wasm',
    state: 'not running',
    checksum,
    version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    lastError: '',
    priority: 1000,
  })
  expect(report?.hooks).toContain('onTrafficFromClient')
})

test('a gRPC plugin is hashed and not run', async () => {
  const checksum = await checksumOf(program)
  const [report] = await read([{ name: 'guard', localPath: program, checksum }])
  expect(report).toMatchObject({ runtime: 'grpc', state: 'not running', checksum, hooks: [] })
  expect(await Bun.file(`${program}.was-run`).exists()).toBe(false)
})

test('a wrong checksum names both, a missing one the cure; neither plugin is run', async () => {
  const found = await checksumOf(audit)
  const [wrong, missing] = await read([
    { name: 'a', localPath: audit, checksum: 'ab'.repeat(32) },
    { name: 'b', localPath: audit },
  ])
  expect(wrong).toMatchObject({ state: 'not pinned', checksum: found, version: '' })
  expect(wrong?.lastError).toContain(`is ${found}, not ${'ab'.repeat(32)}`)
  expect(missing).toMatchObject({ state: 'not pinned', version: '' })
  expect(missing?.lastError).toBe(`no checksum; pin the file with checksum: ${found}`)
})

test('a file that is not there, and one that is no module, are broken and say why', async () => {
  const fake = join(home, 'fake.wasm')
  writeFileSync(fake, '\0asm nonsense')
  const [absent, broken] = await read([
    { name: 'absent', localPath: join(home, 'absent'), checksum: 'ab'.repeat(32) },
    { name: 'fake', localPath: fake, checksum: await checksumOf(fake) },
  ])
  expect(absent).toMatchObject({ state: 'broken', lastError: expect.stringContaining('ENOENT') })
  expect(broken?.state).toBe('broken')
  expect(broken?.lastError).not.toBe('')
})

test('a disabled plugin is listed as such, unread, and keeps its priority', async () => {
  const reports = await read([
    { name: 'off', enabled: false, localPath: audit },
    { name: 'gone', enabled: false, localPath: join(home, 'absent') },
    { name: 'on', localPath: program, checksum: await checksumOf(program) },
  ])
  expect(reports.map(({ state, priority, lastError }) => [state, priority, lastError])).toEqual([
    ['disabled', 1000, ''],
    ['disabled', 1001, ''],
    ['not running', 1002, ''],
  ])
})
