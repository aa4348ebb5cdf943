import { expect, test } from 'bun:test'
import * as refusals from '../../src/tcp/refusals.ts'

test('every refusal has a SQLSTATE and a sentence that names what it speaks of', () => {
  const all = [
    refusals.SERVER_GONE,
    refusals.SHUTTING_DOWN,
    refusals.unreachable('writes'),
    refusals.noBlock('moon', 'shop'),
    refusals.tooMany('shop', 10),
    refusals.violation('it is no message'),
    refusals.timedOut('no login', 500),
  ]
  expect(all.map(({ code }) => code)).toEqual([
    '08006',
    '57P01',
    '08006',
    '08006',
    '53300',
    '08P01',
    '57P05',
  ])
  for (const { message } of all) expect(message).toMatch(/^\S.+[^.]$/)
  expect(refusals.unreachable('writes').message).toContain('(writes)')
  expect(refusals.tooMany('shop', 10).message).toContain('sessionsMax is 10')
  expect(refusals.tooMany('shop', 10).hint).toContain('servers.shop.sessionsMax')
  expect(refusals.violation('it is no message').message).toContain('it is no message')
  expect(refusals.timedOut('no login', 500).message).toBe('no login within 500 ms')
})
