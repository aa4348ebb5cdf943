import { expect, test } from 'bun:test'
import type { PluginManifest, PluginState } from '../../src/plugins/plugin.ts'
import { isAtLeast, type Loaded, unmet } from '../../src/plugins/requirement.ts'

test('versions are compared as semver orders them', () => {
  const order = [
    '0.9.9',
    '1.0.0-alpha',
    '1.0.0-alpha.1',
    '1.0.0-alpha.beta',
    '1.0.0-beta.2',
    '1.0.0-beta.11',
    '1.0.0-rc.1',
    '1.0.0',
    '1.0.1',
    '1.2.0',
    '1.10.0',
    '2.0.0',
  ]
  for (const [at, one] of order.entries()) {
    for (const [other, wanted] of order.entries()) {
      expect({ one, wanted, enough: isAtLeast(one, wanted) }).toEqual({
        one,
        wanted,
        enough: at >= other,
      })
    }
  }
})

test('a leading v, missing parts and a build change nothing', () => {
  expect(isAtLeast('v1.2', '1.2.0')).toBe(true)
  expect(isAtLeast('1.2.0+build.7', 'v1.2.0')).toBe(true)
  expect(isAtLeast('1', '1.0.1')).toBe(false)
})

test('what is no version is enough only for itself', () => {
  expect(isAtLeast('nightly', 'nightly')).toBe(true)
  for (const [found, wanted] of [
    ['nightly', '1.0.0'],
    ['1.0.0', 'nightly'],
    ['', '1.0.0'],
    ['9'.repeat(100), '1.0.0'],
  ] as const) {
    expect(isAtLeast(found, wanted)).toBe(false)
  }
})

function plugin(name: string, version: string, state: PluginState): Loaded {
  return { name, status: () => ({ version, state }) }
}

const MANIFEST: PluginManifest = {
  name: 'needy',
  version: '1.0.0',
  description: '',
  authors: [],
  license: '',
  projectUrl: '',
  hooks: [],
  requires: [
    { name: 'base', version: '1.2.0' },
    { name: 'other', version: '0.1.0' },
  ],
  metricsSocket: null,
}

test('what is not met is named with both plugins and the cure', () => {
  const other = plugin('other', '0.1.0', 'ready')
  expect(unmet(MANIFEST, [plugin('base', '1.2.0', 'ready'), other])).toEqual([])
  expect(unmet(MANIFEST, [other])).toEqual([
    'plugin "needy" requires "base" 1.2.0 or newer: put an entry for it before this one',
  ])
  expect(unmet(MANIFEST, [plugin('base', '1.1.9', 'ready')])).toEqual([
    'plugin "needy" requires "base" 1.2.0 or newer, but it is 1.1.9: update "base"',
    'plugin "needy" requires "other" 0.1.0 or newer: put an entry for it before this one',
  ])
  expect(unmet(MANIFEST, [plugin('base', '1.2.0', 'broken'), other])).toEqual([
    'plugin "needy" requires "base" 1.2.0 or newer, which is broken: see its own error',
  ])
  expect(unmet(MANIFEST, [plugin('base', '', 'ready'), other])[0]).toContain('of no version')
})
