/** From the file to the module: what is read, what is refused, and what is said about it. */
import { describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { GatewayError } from '../../../src/base/errors.ts'
import type { PluginSpec } from '../../../src/plugins/plugin.ts'
import { MODULE_BYTES_MAX } from '../../../src/plugins/wasm/limits.ts'
import { loadModule } from '../../../src/plugins/wasm/load.ts'
import {
  assemble,
  describing,
  fileOf,
  makeScene,
  makeSpec,
  manifestOf,
  modulePath,
  readBytes,
} from '../../fixtures/wasm/kit.ts'

async function refusal(spec: PluginSpec, dev = true): Promise<string> {
  try {
    await loadModule(spec, makeScene({ dev }).surroundings)
  } catch (thrown) {
    if (thrown instanceof GatewayError) return `${thrown.code}: ${thrown.message}`
    throw thrown
  }
  return 'loaded'
}

describe('the file', () => {
  test('is read once: the bytes that were hashed are those that are compiled', async () => {
    const path = modulePath('audit')
    const sum = createHash('sha256').update(readBytes(path)).digest('hex')
    const spec = makeSpec(path, { checksum: sum })
    const loaded = await loadModule(spec, makeScene({ dev: false }).surroundings)
    expect(loaded.checksum).toBe(sum)
    expect(loaded.module).toBeInstanceOf(WebAssembly.Module)
    expect(loaded.shape.hooks.get('onTrafficFromClient')).toBe('direct')
  })

  test('that is not there, or no file, is named with the cure', async () => {
    const folder = dirname(await fileOf(new Uint8Array(0)))
    const missing = await refusal(makeSpec(join(folder, 'no.wasm'), { name: 'audit' }))
    expect(missing).toStartWith('PLUGIN_FILE: audit (')
    expect(missing).toContain('no.wasm')
    expect(missing).toContain('`localPath` must name a readable .wasm file')
    expect(await refusal(makeSpec(folder))).toStartWith('PLUGIN_FILE')
  })

  test('that is too large is not read', async () => {
    const path = join(await mkdtemp(join(tmpdir(), 'large-')), 'large.wasm')
    try {
      await writeFile(path, '')
      await truncate(path, MODULE_BYTES_MAX + 1)
      expect(await refusal(makeSpec(path))).toStartWith('PLUGIN_FILE')
    } finally {
      await rm(dirname(path), { recursive: true })
    }
  })

  test('that is no module, or one that does not compile, is named', async () => {
    const script = await fileOf(new TextEncoder().encode('#!/bin/sh\n'))
    expect(await refusal(makeSpec(script))).toStartWith(`PLUGIN_WASM: ${script}: not a WebAssembly`)
    const bytes = assemble(describing(manifestOf()))
    // The last byte of a body is its `end`.
    const broken = bytes.slice()
    broken[bytes.lastIndexOf(0x0b)] = 0xff
    const path = await fileOf(broken)
    expect(await refusal(makeSpec(path))).toMatch(/^PLUGIN_WASM: .*(does not compile|cut short)/)
  })

  test('that imports what is not granted is refused before it runs', async () => {
    const text = describing(manifestOf()).replace('(module', '(module (import "a" "b" (func))')
    expect(await refusal(makeSpec(await fileOf(assemble(text))))).toContain(
      'a.b, which is not granted',
    )
  })
})

describe('the checksum', () => {
  const wrong = 'a'.repeat(64)

  test('is required, and the error tells the one to set', async () => {
    const path = modulePath('audit')
    const sum = createHash('sha256').update(readBytes(path)).digest('hex')
    const sentence = await refusal(makeSpec(path), false)
    expect(sentence).toStartWith('PLUGIN_CHECKSUM')
    expect(sentence).toContain(`checksum: ${sum}`)
  })

  test('that is wrong stops the start, naming what was expected and found', async () => {
    const path = modulePath('audit')
    const sum = createHash('sha256').update(readBytes(path)).digest('hex')
    const sentence = await refusal(makeSpec(path, { checksum: wrong }), false)
    expect(sentence).toStartWith('PLUGIN_CHECKSUM')
    expect(sentence).toContain(sum)
    expect(sentence).toContain(wrong)
  })

  test('is only warned of in development', async () => {
    const path = modulePath('audit')
    const { surroundings, lines } = makeScene({ dev: true })
    await loadModule(makeSpec(path, { checksum: wrong }), surroundings)
    expect(lines).toMatchObject([{ level: 40, msg: expect.stringContaining(wrong) }])
    await loadModule(makeSpec(path), surroundings)
    expect(lines[1]).toMatchObject({ level: 30, msg: expect.stringContaining('no checksum') })
  })
})
