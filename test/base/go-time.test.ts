import { expect, test } from 'bun:test'
import { formatGoTime, type GoTimeLayout, isGoTimeLayout } from '../../src/base/go-time.ts'

// What Go 1.2x prints for 1709391845070 ms (TZ=UTC): recorded from its own time.Format.
const AFTERNOON: readonly (readonly [GoTimeLayout, string])[] = [
  ['Layout', "03/02 03:04:05PM '24 +0000"],
  ['ANSIC', 'Sat Mar  2 15:04:05 2024'],
  ['UnixDate', 'Sat Mar  2 15:04:05 UTC 2024'],
  ['RubyDate', 'Sat Mar 02 15:04:05 +0000 2024'],
  ['RFC822', '02 Mar 24 15:04 UTC'],
  ['RFC822Z', '02 Mar 24 15:04 +0000'],
  ['RFC850', 'Saturday, 02-Mar-24 15:04:05 UTC'],
  ['RFC1123', 'Sat, 02 Mar 2024 15:04:05 UTC'],
  ['RFC1123Z', 'Sat, 02 Mar 2024 15:04:05 +0000'],
  ['RFC3339', '2024-03-02T15:04:05Z'],
  ['RFC3339Nano', '2024-03-02T15:04:05.07Z'],
  ['Kitchen', '3:04PM'],
  ['Stamp', 'Mar  2 15:04:05'],
  ['StampMilli', 'Mar  2 15:04:05.070'],
  ['StampMicro', 'Mar  2 15:04:05.070000'],
  ['StampNano', 'Mar  2 15:04:05.070000000'],
]

test.each(AFTERNOON)('%s is written as Go writes it', (layout, expected) => {
  expect(formatGoTime(layout, new Date(1709391845070))).toBe(expected)
})

test('midnight is twelve in the morning, and a whole second has no fraction', () => {
  const midnight = new Date(Date.UTC(2024, 0, 1))
  expect(formatGoTime('Kitchen', midnight)).toBe('12:00AM')
  expect(formatGoTime('RFC3339Nano', midnight)).toBe('2024-01-01T00:00:00Z')
})

test('another zone shows its offset, also one of half an hour, and its name', async () => {
  const source = `
    import { formatGoTime } from '${import.meta.dir}/../../src/base/go-time.ts'
    const layouts = ['RFC3339', 'RFC822Z', 'RFC1123']
    process.stdout.write(layouts.map((l) => formatGoTime(l, new Date(1709391845070))).join('|'))`
  const written = async (zone: string) => {
    const child = Bun.spawn([process.execPath, '-e', source], {
      env: { ...process.env, TZ: zone },
    })
    return new Response(child.stdout).text()
  }
  expect(await written('America/New_York')).toBe(
    '2024-03-02T10:04:05-05:00|02 Mar 24 10:04 -0500|Sat, 02 Mar 2024 10:04:05 EST',
  )
  expect(await written('America/St_Johns')).toStartWith(
    '2024-03-02T11:34:05-03:30|02 Mar 24 11:34 -0330|',
  )
})

test('only names of layouts are layouts', () => {
  expect(isGoTimeLayout('RFC3339')).toBe(true)
  expect(isGoTimeLayout('rfc3339')).toBe(false)
  expect(isGoTimeLayout('toString')).toBe(false)
})
