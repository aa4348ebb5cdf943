import { expect, test } from 'bun:test'
import { pluginsSchema, settledPlugins } from '../../../src/config/plugin-schema.ts'
import { sharingSettings } from '../../../src/plugins/shared/settings.ts'

const settings = (file: Readonly<Record<string, unknown>>) =>
  sharingSettings(settledPlugins(pluginsSchema.parse(file)))

test('without a store nothing is shared', () => {
  expect(settings({})).toBeNull()
})

test('the place of a store is shown without who we are there', () => {
  const full = settings({ store: 'rediss://me:secret@redis.example:7000/4' })
  expect(full?.place).toBe('redis.example:7000/4')
  expect(settings({ store: 'redis://[::1]' })?.place).toBe('[::1]:6379/0')
})

test('a file of authorities that is not there is named', () => {
  const file = { store: 'rediss://redis', storeRootCert: '/no/such/file' }
  expect(() => settings(file)).toThrow('storeRootCert: /no/such/file cannot be read')
})

for (const store of [
  'redis',
  'http://redis',
  'redis://',
  'redis://a/b',
  'redis://a/1/2',
  'redis://a?x=1',
]) {
  test(`${store} is no store`, () => {
    expect(() => settings({ store })).toThrow('redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]')
  })
}
