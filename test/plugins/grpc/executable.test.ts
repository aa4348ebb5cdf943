/** What is started is the file that was pinned, and nobody else could have changed it. */
import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { examine, isUnchanged } from '../../../src/plugins/grpc/executable.ts'
import { Folder, KeptLog } from '../../fixtures/grpc/surroundings.ts'

const WARN = 40
const TEXT = 'no program, but bytes'
const CHECKSUM = new Bun.CryptoHasher('sha256').update(TEXT).digest('hex')

const folder = new Folder()
let log = new KeptLog()
let path = ''

beforeEach(() => {
  log = new KeptLog()
  chmodSync(folder.path, 0o755)
  path = folder.script('plugin', TEXT)
})
afterAll(() => folder.remove())

interface Otherwise {
  readonly localPath?: string
  readonly checksum?: string | null
  readonly args?: readonly string[]
  readonly dev?: boolean
}

function examined(otherwise: Otherwise = {}) {
  const { localPath = path, checksum = CHECKSUM, args = [], dev = false } = otherwise
  return examine({ plugin: 'tried', spec: { localPath, checksum, args }, dev, log: log.logger })
}

describe('the checksum', () => {
  test('that is right lets the file pass without a word', async () => {
    expect(await examined()).toMatchObject({ path, checksum: CHECKSUM })
    expect(log.records).toEqual([])
  })

  test('that is wrong refuses, and says what was found and what was wanted', async () => {
    const wrong = 'a'.repeat(64)
    const attempt = examined({ checksum: wrong })
    expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_CHECKSUM' })
    expect(attempt).rejects.toThrow(`plugin tried: ${path} is not the pinned file`)
    expect(attempt).rejects.toThrow(CHECKSUM)
    await expect(attempt).rejects.toThrow(wrong)
  })

  test('that is missing refuses, and gives the line to write', async () => {
    await expect(examined({ checksum: null })).rejects.toThrow(`"checksum: ${CHECKSUM}"`)
  })

  test('under --dev may be missing, and is warned of where it is wrong', async () => {
    await examined({ checksum: null, dev: true })
    expect(log.messages(WARN)).toEqual([])
    await examined({ checksum: 'b'.repeat(64), dev: true })
    expect(log.messages(WARN).join()).toContain('is not the pinned file')
  })
})

describe('a file that others may write', () => {
  for (const mode of [0o775, 0o757]) {
    test(`is refused (mode ${mode.toString(8)})`, async () => {
      chmodSync(path, mode)
      const attempt = examined()
      expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_CHECKSUM' })
      await expect(attempt).rejects.toThrow('chmod go-w')
    })
  }

  test('by its folder is refused, but not in a sticky one, where only owners replace', async () => {
    chmodSync(folder.path, 0o777)
    await expect(examined()).rejects.toThrow(`the folder ${folder.path} may be written`)
    chmodSync(folder.path, 0o1777)
    expect((await examined()).checksum).toBe(CHECKSUM)
  })

  test('is warned of under --dev', async () => {
    chmodSync(path, 0o777)
    await examined({ dev: true })
    expect(log.messages(WARN).join()).toContain('permitted by --dev')
  })
})

describe('a file that cannot be run', () => {
  test('because it is not there is named with a cure', async () => {
    const attempt = examined({ localPath: '/nowhere/plugin' })
    expect(attempt).rejects.toMatchObject({ code: 'PLUGIN_FILE' })
    await expect(attempt).rejects.toThrow(
      'plugin tried: /nowhere/plugin does not exist; correct its localPath',
    )
  })

  test('because it is not executable is named with a cure', async () => {
    chmodSync(path, 0o644)
    await expect(examined()).rejects.toThrow('correct its permissions (chmod 755)')
  })

  test('because it is a folder is named', async () => {
    const inner = join(folder.path, 'inner')
    mkdirSync(inner, { recursive: true })
    await expect(examined({ localPath: inner })).rejects.toThrow('is no file')
  })
})

describe('what is pinned', () => {
  test('of a symbolic link is the file behind it', async () => {
    const link = join(folder.path, 'link')
    symlinkSync(path, link)
    expect((await examined({ localPath: link })).path).toBe(path)
  })

  test('of a script is not its interpreter, which is warned of', async () => {
    const script = folder.script('script', '#!/usr/bin/env python3\nprint()\n')
    await examined({ localPath: script, checksum: null, dev: true })
    expect(log.messages(WARN).join()).toContain('not its interpreter "/usr/bin/env python3"')
  })

  test('of an interpreter with arguments is not what it runs, which is warned of', async () => {
    const python = folder.script('python3.12', TEXT)
    await examined({ localPath: python, args: ['plugin.py'] })
    expect(log.messages(WARN).join()).toContain('pins the interpreter alone')
  })

  test('shows when it was written to, replaced or removed later', async () => {
    const executable = await examined()
    expect(await isUnchanged(executable)).toBe(true)
    // The same bytes again: the times tell.
    writeFileSync(path, TEXT)
    expect(await isUnchanged(executable)).toBe(false)
    expect(await isUnchanged({ ...executable, path: '/nowhere/plugin' })).toBe(false)
  })
})
