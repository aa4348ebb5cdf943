import { afterAll, beforeAll, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { carriedOver, fileHash, isSamePlugin } from '../../src/plugins/carry.ts'
import type { Plugin, PluginSpec, PluginState } from '../../src/plugins/plugin.ts'
import { makeSpec } from '../fixtures/wasm/kit.ts'

const folder = mkdtempSync(join(tmpdir(), 'carry-'))
const file = join(folder, 'plugin')
beforeAll(() => writeFileSync(file, 'first'))
afterAll(() => rmSync(folder, { recursive: true }))

const spec = (changes: Partial<PluginSpec> = {}) => makeSpec(file, { name: 'audit', ...changes })

function plugin(state: PluginState, checksum: string): Plugin {
  const status = () => ({ state, checksum })
  return { status } as unknown as Plugin
}

const hashOf = (path: string): string =>
  createHash('sha256').update(readFileSync(path)).digest('hex')

test('every key of an entry counts, but its place', () => {
  expect(isSamePlugin(spec(), spec({ priority: 2000 }))).toBeTrue()
  const others: Partial<PluginSpec>[] = [
    { config: { words: 'drop' } },
    { env: ['A=b'] },
    { timeoutMs: 1 },
    { onFailure: 'closed' },
    { limits: { ...spec().limits, callDeadlineMs: 1 } },
    { policies: { terminate: 'never', log: 'signal', route: 'signal', standard: 'passthrough' } },
  ]
  for (const other of others) expect(isSamePlugin(spec(), spec(other))).toBeFalse()
})

test('a plugin runs on where its entry and its file are the same, and it is alive', async () => {
  const hash = hashOf(file)
  for (const state of ['ready', 'failing', 'restarting'] as const) {
    const running = plugin(state, hash)
    expect(await carriedOver(spec(), [{ plugin: running, spec: spec() }])).toBe(running)
  }
  for (const state of ['broken', 'stopped', 'starting'] as const) {
    expect(await carriedOver(spec(), [{ plugin: plugin(state, hash), spec: spec() }])).toBeNull()
  }
  const another = { plugin: plugin('ready', hash), spec: spec({ name: 'another' }) }
  expect(await carriedOver(spec(), [another])).toBeNull()
  const older = { plugin: plugin('ready', 'ab'.repeat(32)), spec: spec() }
  expect(await carriedOver(spec(), [older])).toBeNull()
  const unread = { plugin: plugin('ready', ''), spec: spec({ localPath: join(folder, 'none') }) }
  expect(await carriedOver(unread.spec, [unread])).toBeNull()
})

test('a file that is written or replaced is hashed anew', async () => {
  expect(await fileHash(file)).toBe(hashOf(file))
  expect(await fileHash(file)).toBe(hashOf(file))
  writeFileSync(file, 'other')
  expect(await fileHash(file)).toBe(hashOf(file))
  writeFileSync(`${file}.new`, 'third')
  renameSync(`${file}.new`, file)
  expect(await fileHash(file)).toBe(hashOf(file))
  expect(await fileHash(join(folder, 'none'))).toBe('')
})
