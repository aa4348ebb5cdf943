/** From the file to the module: what is read, what is refused, and what is said about it. */
import { describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import pino from 'pino'
import { GatewayError } from '../../../src/base/errors.ts'
import { DEFAULT_LIMITS, noLimitHits } from '../../../src/plugins/limits.ts'
import type { PluginSpec } from '../../../src/plugins/plugin.ts'
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
      await truncate(path, DEFAULT_LIMITS.moduleBytesMax + 1)
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
    expect(await refusal(makeSpec(path))).toMatch(
      /^PLUGIN_WASM: .*(does not compile|cut short|no instruction)/,
    )
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

describe('a file that changes while it is loaded', () => {
  const MODULE_BYTES = assemble(
    describing(manifestOf(), '(func (export "on_run") (result i32) (i32.const 0))'),
  )
  const OTHER_BYTES = assemble(
    describing(manifestOf(), '(func (export "on_closed") (result i32) (i32.const 0))'),
  )

  test('is run as it was hashed', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'swap-'))
    try {
      const path = join(folder, 'a.wasm')
      await writeFile(path, MODULE_BYTES)
      const { surroundings } = makeScene({ dev: true })
      let swapped = 0
      // The line about the missing checksum is written between the hash and everything else.
      const sink = {
        write: () => {
          writeFileSync(join(folder, 'b.wasm'), OTHER_BYTES)
          renameSync(join(folder, 'b.wasm'), path)
          writeFileSync(path, OTHER_BYTES)
          swapped++
        },
      }
      const log = pino({ level: 'info' }, sink)
      const loaded = await loadModule(makeSpec(path), { ...surroundings, log })
      expect(swapped).toBe(1)
      expect(loaded.checksum).toBe(createHash('sha256').update(MODULE_BYTES).digest('hex'))
      const names = WebAssembly.Module.exports(loaded.module).map((one) => one.name)
      expect(names).toContain('on_run')
      expect(names).not.toContain('on_closed')
      expect([...loaded.shape.hooks.keys()]).toEqual(['onRun'])
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

test('what is no regular file is refused, and not waited for', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pipe-'))
  try {
    const pipe = join(folder, 'pipe.wasm')
    expect(Bun.spawnSync(['mkfifo', pipe]).exitCode).toBe(0)
    expect(await refusal(makeSpec(pipe))).toStartWith('PLUGIN_FILE')
    expect(await refusal(makeSpec('/dev/zero'))).toStartWith('PLUGIN_FILE')
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('a file over the limit of its entry is refused with the cure, and counted', async () => {
  const path = modulePath('audit')
  const hits = noLimitHits()
  const limits = { ...DEFAULT_LIMITS, moduleBytesMax: readBytes(path).length - 1 }
  const loading = loadModule(makeSpec(path, { limits }), makeScene().surroundings, hits)
  await expect(loading).rejects.toThrow('raise moduleBytesMax')
  expect(hits.of('moduleBytesMax')).toBe(1)
  const whole = { ...DEFAULT_LIMITS, moduleBytesMax: 2 * readBytes(path).length }
  expect(await refusal(makeSpec(path, { limits: whole }))).toBe('loaded')
})
