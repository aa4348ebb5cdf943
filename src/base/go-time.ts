/** Writes a moment in one of Go's named time layouts, as `consoleTimeFormat` chooses them. */

/** Go's own layouts (package time): its reference moment, written as the output should look. */
const LAYOUTS = {
  Layout: "01/02 03:04:05PM '06 -0700",
  ANSIC: 'Mon Jan _2 15:04:05 2006',
  UnixDate: 'Mon Jan _2 15:04:05 MST 2006',
  RubyDate: 'Mon Jan 02 15:04:05 -0700 2006',
  RFC822: '02 Jan 06 15:04 MST',
  RFC822Z: '02 Jan 06 15:04 -0700',
  RFC850: 'Monday, 02-Jan-06 15:04:05 MST',
  RFC1123: 'Mon, 02 Jan 2006 15:04:05 MST',
  RFC1123Z: 'Mon, 02 Jan 2006 15:04:05 -0700',
  RFC3339: '2006-01-02T15:04:05Z07:00',
  RFC3339Nano: '2006-01-02T15:04:05.999999999Z07:00',
  Kitchen: '3:04PM',
  Stamp: 'Jan _2 15:04:05',
  StampMilli: 'Jan _2 15:04:05.000',
  StampMicro: 'Jan _2 15:04:05.000000',
  StampNano: 'Jan _2 15:04:05.000000000',
} as const

export type GoTimeLayout = keyof typeof LAYOUTS

/** True for the name of a layout that `formatGoTime` knows. */
export function isGoTimeLayout(name: string): name is GoTimeLayout {
  return Object.hasOwn(LAYOUTS, name)
}

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')
const PARTS = /Monday|Mon|MST|Jan|2006|-0700|Z07:00|\.0+|\.9+|_2|PM|0[1-6]|15|3/g

/** The moment in the zone of this process, in the layout of that name. */
export function formatGoTime(layout: GoTimeLayout, moment: Date): string {
  return LAYOUTS[layout].replace(PARTS, (part) => formatPart(part, moment))
}

function formatPart(part: string, moment: Date): string {
  if (part.startsWith('.')) return formatFraction(part, moment)
  switch (part) {
    case 'Monday':
      return dayOf(moment)
    case 'Mon':
      return dayOf(moment).slice(0, 3)
    case 'MST':
      return zoneName(moment)
    case 'Jan':
      return MONTHS[moment.getMonth()] ?? ''
    case '2006':
      return String(moment.getFullYear())
    case '-0700':
      return offset(moment, '')
    case 'Z07:00':
      return moment.getTimezoneOffset() === 0 ? 'Z' : offset(moment, ':')
    case '_2':
      return String(moment.getDate()).padStart(2)
    case 'PM':
      return moment.getHours() < 12 ? 'AM' : 'PM'
    case '3':
      return String(twelveHours(moment))
    case '15':
      return two(moment.getHours())
    default:
      return formatNumbered(part, moment)
  }
}

/** Go numbers month, day, hour of twelve, minute, second and year from 01 to 06. */
function formatNumbered(part: string, moment: Date): string {
  const values = [
    moment.getMonth() + 1,
    moment.getDate(),
    twelveHours(moment),
    moment.getMinutes(),
    moment.getSeconds(),
    moment.getFullYear() % 100,
  ]
  return two(values[Number(part) - 1] ?? 0)
}

function dayOf(moment: Date): string {
  return DAYS[moment.getDay()] ?? ''
}

function two(number: number): string {
  return String(number).padStart(2, '0')
}

function twelveHours(moment: Date): number {
  return moment.getHours() % 12 || 12
}

function offset(moment: Date, between: string): string {
  // JavaScript counts from local time to UTC, everyone else from UTC to local time.
  const minutes = -moment.getTimezoneOffset()
  const absolute = Math.abs(minutes)
  const sign = minutes < 0 ? '-' : '+'
  return `${sign}${two(Math.floor(absolute / 60))}${between}${two(absolute % 60)}`
}

function zoneName(moment: Date): string {
  if (moment.getTimezoneOffset() === 0) return 'UTC'
  const parts = new Intl.DateTimeFormat('en-US', { timeZoneName: 'short' }).formatToParts(moment)
  return parts.find((part) => part.type === 'timeZoneName')?.value ?? offset(moment, '')
}

/** `.000` keeps its zeros, `.999` drops them; below the millisecond our clock knows nothing. */
function formatFraction(part: string, moment: Date): string {
  const digits = String(moment.getMilliseconds()).padStart(3, '0').padEnd(9, '0')
  const cut = digits.slice(0, part.length - 1)
  if (!part.startsWith('.9')) return `.${cut}`
  const significant = cut.replace(/0+$/, '')
  return significant === '' ? '' : `.${significant}`
}
