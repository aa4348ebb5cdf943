import { expect, test } from 'bun:test'
import { partsOf, shareOf } from '../../../src/protocols/postgres/parts.ts'
import { FRONTEND_TAGS } from '../../../src/protocols/postgres/tags.ts'
import type { Cut } from '../../../src/protocols/protocol.ts'
import { concat, message } from '../../kit/frontend.ts'

const unitOf = (letters: string): Uint8Array =>
  concat(...[...letters].map((letter) => message(letter)))

function tagsOf(letters: string): Uint8Array {
  const tags = new Uint8Array(256)
  for (const letter of letters) tags[letter.charCodeAt(0)] = 1
  return tags
}

/** `PB|(D)|ES`: parts by their letters, unwanted ones in brackets. */
function cut(letters: string, how: Cut, tags: string | null, joins = true): string {
  const bytes = unitOf(letters)
  const wantedTags = tags === null ? null : tagsOf(tags)
  const parts = partsOf(bytes, FRONTEND_TAGS, how, wantedTags, () => joins)
  expect([...concat(...parts.map((part) => part.bytes))]).toEqual([...bytes])
  return parts
    .map((part) => {
      const own = [...part.bytes].filter((_, at) => at % 5 === 0)
      const text = String.fromCharCode(...own)
      return part.wanted ? text : `(${text})`
    })
    .join('|')
}

test('a message at a time is every wanted message alone', () => {
  expect(cut('PBDES', 'message', null)).toBe('P|B|D|E|S')
  expect(cut('PBDES', 'message', 'PE')).toBe('P|(BD)|E|(S)')
})

test('a batch or reply is the longest run of wanted messages', () => {
  expect(cut('PBDES', 'batch', null)).toBe('PBDES')
  expect(cut('PBDES', 'reply', 'PBE')).toBe('PB|(D)|E|(S)')
  expect(cut('PBDES', 'batch', '')).toBe('(PBDES)')
})

test('messages that may not stand together are cut', () => {
  expect(cut('QQQ', 'batch', null, false)).toBe('Q|Q|Q')
})

test('parts are views of the unit, not copies', () => {
  const bytes = unitOf('PB')
  const [part] = partsOf(bytes, FRONTEND_TAGS, 'batch', null, () => true)
  expect(part?.bytes.buffer).toBe(bytes.buffer)
})

test('nothing gives no parts', () => {
  expect(partsOf(new Uint8Array(0), FRONTEND_TAGS, 'batch', null, () => true)).toEqual([])
})

test('a share tells what the parts would be', () => {
  const seen = new Set<string>()
  const letters = 'PBDESQ'
  let seed = 7
  const draw = (below: number): number => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed % below
  }
  const some = (most: number): string =>
    Array.from({ length: draw(most + 1) }, () => letters[draw(letters.length)]).join('')
  const joins = (previous: number, tag: number): boolean => previous !== 0x53 && tag !== 0x51
  for (let round = 0; round < 3000; round++) {
    const how = (['message', 'batch', 'reply'] as const)[draw(3)] ?? 'message'
    const tags = draw(3) === 0 ? null : tagsOf(some(4))
    const unit = unitOf(some(5))
    const parts = partsOf(unit, FRONTEND_TAGS, how, tags, joins)
    const wanted = parts.filter((part) => part.wanted)
    const expected =
      wanted.length === 0 ? 'none' : wanted.length === parts.length && parts.length === 1
    const share = shareOf(unit, how, tags, joins)
    expect(share).toBe(expected === 'none' ? 'none' : expected ? 'whole' : 'parts')
    seen.add(share)
  }
  expect(seen).toEqual(new Set(['none', 'whole', 'parts']))
})
