/** What a plugin says of itself is believed as far as the contract goes. */
import { describe, expect, test } from 'bun:test'
import { describe as read } from '../../../src/plugins/grpc/description.ts'
import type { Struct } from '../../../src/plugins/grpc/struct.ts'

function described(struct: Struct, name: string | null = 'entry') {
  const notes: string[] = []
  const description = read(struct, name, '/opt/plugin', (problem) => notes.push(problem))
  return { ...description, notes }
}

describe('the answer to GetPluginConfig', () => {
  test('is taken over key by key', () => {
    const { manifest, hooks, notes } = described({
      id: { name: 'auth', version: '1.0.0', remoteUrl: 'example.com/auth' },
      description: 'd',
      authors: ['a', 'b'],
      license: 'MIT',
      projectUrl: 'https://example.com',
      config: { metricsEnabled: 'true', metricsUnixDomainSocket: '/tmp/auth.sock' },
      hooks: [16, 14],
      requires: [{ name: 'base', version: '0.1.0', remoteUrl: 'example.com/base' }],
    })
    expect(manifest).toEqual({
      name: 'entry',
      version: '1.0.0',
      description: 'd',
      authors: ['a', 'b'],
      license: 'MIT',
      projectUrl: 'https://example.com',
      hooks: ['onTrafficFromClient', 'onClosed'],
      requires: [{ name: 'base', version: '0.1.0' }],
      metricsSocket: '/tmp/auth.sock',
    })
    expect(hooks).toEqual(['onTrafficFromClient', 'onClosed'])
    expect(notes).toEqual([])
  })

  test('may be empty', () => {
    const { manifest, notes } = described({})
    expect(manifest).toMatchObject({ name: 'entry', version: '', hooks: [], metricsSocket: null })
    expect(notes).toEqual([])
  })

  test('of the wrong types is noted and ignored, key by key', () => {
    const { manifest, notes } = described({
      id: 'auth',
      description: 5,
      authors: 'a',
      license: null,
      config: ['x'],
      hooks: [16],
      requires: ['base', { name: 1, version: '1.0.0' }],
      tags: 7,
    })
    expect(manifest).toMatchObject({
      version: '',
      description: '',
      authors: [],
      license: '',
      hooks: ['onTrafficFromClient'],
      requires: [{ name: '', version: '1.0.0' }],
      metricsSocket: null,
    })
    for (const key of ['id', 'description', 'authors', 'config', 'requires', 'requires.name']) {
      expect(notes.join('\n')).toContain(`GetPluginConfig: ${key} is not`)
    }
  })

  test('lists no hook that there is not: 0, 22, 1000, halves and text are ignored', () => {
    const { hooks, notes } = described({ hooks: [0, 16, 22, 1000, 1.5, -1, '18', null, 16, 21] })
    expect(hooks).toEqual(['onTrafficFromClient', 'onTick'])
    expect(notes).toHaveLength(7)
  })

  test('says by a text whether there are metrics', () => {
    const socket = (metricsEnabled: string) =>
      described({ config: { metricsEnabled, metricsUnixDomainSocket: '/s' } }).manifest
        .metricsSocket
    for (const yes of ['1', 't', 'T', 'true', 'TRUE', 'True']) expect(socket(yes)).toBe('/s')
    for (const no of ['0', 'false', 'yes', '']) expect(socket(no)).toBeNull()
  })
})

describe('the name', () => {
  test('is the entry’s, else the plugin’s own', () => {
    expect(described({ id: { name: 'own' } }, 'entry').manifest.name).toBe('entry')
    expect(described({ id: { name: 'own-1.x_y' } }, null).manifest.name).toBe('own-1.x_y')
  })

  test('that a plugin lacks or makes up is refused, with the cure', () => {
    for (const name of ['', 'a b', '../x', 'x\n', 'x'.repeat(129)]) {
      const attempt = (): unknown => described({ id: { name } }, null)
      expect(attempt).toThrow('the plugin /opt/plugin names itself')
      expect(attempt).toThrow('give its entry a name')
    }
  })
})
