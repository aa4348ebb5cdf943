import { expect, test } from 'bun:test'
import { sampleLine } from '../../src/metrics/exposition.ts'
import { PageError, parsePage, parsePageInTurns } from '../../src/metrics/parse.ts'

/** Reads a page and writes its samples anew. */
function parse(text: string, seriesMax = 10_000) {
  return parsePage(text, {
    write: ({ name, labels, value, timestamp }) => sampleLine(name, labels, value, timestamp),
    seriesMax,
  })
}

test('families, help, types, labels, escapes, values and timestamps are read', () => {
  const families = parse(
    [
      '# HELP http_requests_total The total\\nnumber \\\\ of requests.',
      '# TYPE http_requests_total counter',
      'http_requests_total{method="post",code="200",} 1027 1395066363000',
      '  http_requests_total { method = "a\\\\b\\"c\\nd{},= " }\t3',
      '',
      '# a word for people',
      '#another',
      'untyped_metric 1.5e-3',
      '# TYPE gone gauge',
      'gone NaN',
      'gone{x=" "} +Inf',
      'gone{x="ü"} -inf -5',
      '',
    ].join('\n'),
  )
  expect(families).toEqual([
    {
      name: 'http_requests_total',
      type: 'counter',
      help: 'The total\\nnumber \\\\ of requests.',
      lines: [
        'http_requests_total{method="post",code="200"} 1027 1395066363000',
        'http_requests_total{method="a\\\\b\\"c\\nd{},= "} 3',
      ],
    },
    { name: 'untyped_metric', type: 'untyped', help: '', lines: ['untyped_metric 1.5e-3'] },
    {
      name: 'gone',
      type: 'gauge',
      help: '',
      lines: ['gone NaN', 'gone{x=" "} +Inf', 'gone{x="ü"} -inf -5'],
    },
  ])
})

test('values reach the writer without their escapes', () => {
  const values: string[] = []
  const write = (sample: { labels: readonly (readonly [string, string])[] }) => {
    values.push(...sample.labels.map(([, value]) => value))
    return ''
  }
  parsePage('x{a="q\\"b\\\\n\\n",b="plain"} 1\n', { write })
  expect(values).toEqual(['q"b\\n\n', 'plain'])
})

test('the parts of histograms and summaries belong to their families', () => {
  const families = parse(
    `# TYPE h histogram
h_bucket{le="1"} 1
h_bucket{le="+Inf"} 2
h_sum 3
h_count 2
# TYPE s summary
s{quantile="0.5"} 1
s_sum 1
s_count 1
`,
  )
  expect(families.map(({ name, lines }) => [name, lines.length])).toEqual([
    ['h', 4],
    ['s', 3],
  ])
})

test('an empty page has no families', () => {
  expect(parse('')).toEqual([])
  expect(parse('\n\n')).toEqual([])
})

test.each([
  ['a page that was cut off', 'a 1\nb 2', /line 2: .*cut off/],
  ['no value', 'a\n', /line 1: no number for a/],
  ['a word as a value', 'x 1\na one\n', /line 2: no number for a/],
  ['more behind the timestamp', 'a 1 2 3\n', /no number/],
  ['a hexadecimal value', 'a 0x10\n', /no number/],
  ['a carriage return', 'a 1\r\n', /no number/],
  ['no name', '{a="b"} 1\n', /no metric name/],
  ['a dash in a name', 'a-b 1\n', /line 1/],
  ['a name that touches its value', 'a+1 1\n', /line 1/],
  ['labels that are not closed', 'a{b="c" 1\n', /bad labels of a/],
  ['labels without a comma', 'a{b="c" d="e"} 1\n', /bad labels of a/],
  ['a bare comma', 'a{,} 1\n', /bad labels/],
  ['a value that is not quoted', 'a{b=c} 1\n', /bad labels/],
  ['an unknown escape', 'a{b="\\t"} 1\n', /bad labels/],
  ['a label twice', 'a{b="1",b="2"} 1\n', /has b twice/],
  ['the label __name__', 'a{__name__="x"} 1\n', /Prometheus' own/],
  ['a series twice', 'a{b="1",c="2"} 1\na{c="2",b="1"} 1\n', /line 2: the same series of a/],
  ['a series twice, once with an empty label', 'a 1\na{b=""} 1\n', /the same series of a/],
  ['an unknown type', '# TYPE a histogramm\n', /type "histogramm" of a/],
  ['a second type', '# TYPE a gauge\n# TYPE a gauge\n', /second TYPE/],
  ['a second help', '# HELP a x\n# HELP a x\n', /second HELP/],
  ['a type behind its samples', 'a 1\n# TYPE a gauge\n', /after its samples/],
  ['a bad escape in help', '# HELP a \\x\n', /bad escape/],
  ['a bad name in a comment', '# TYPE a-b gauge\n', /bad name "a-b"/],
  ['a bucket without a bound', '# TYPE h histogram\nh_bucket 1\n', /lacks le/],
  ['a value of a histogram', '# TYPE h histogram\nh 1\n', /no value of its own/],
  ['a summary without quantile', '# TYPE s summary\ns 1\n', /lacks quantile/],
  ['families that share a name', '# TYPE h histogram\n# TYPE h_count gauge\n', /share|second TYPE/],
  ['a histogram over a taken name', 'h_sum 1\n# TYPE h histogram\n', /share the name h_sum/],
  ['an endless line', `a{b="${'x'.repeat(20_000)}"} 1\n`, /longer than 16384/],
])('%s is refused', (_, page, message) => {
  expect(() => parse(page)).toThrow(PageError)
  expect(() => parse(page)).toThrow(message)
})

test('as many series as permitted pass, and not one more', () => {
  const page = (count: number) =>
    Array.from({ length: count }, (_, index) => `a{b="${index}"} 1\n`).join('')
  expect(parse(page(50), 50)[0]?.lines).toHaveLength(50)
  expect(() => parse(page(51), 50)).toThrow(/line 51: more than 50 series/)
  expect(() => parse('# HELP a x\n# HELP b x\n# HELP c x\n', 2)).toThrow(/more than 2 families/)
})

test('a page with bytes changed or cut is read or refused, and nothing else happens', () => {
  const page =
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="1",a="b\\"c"} 1 2\nh_sum 3\nx{y="z"} 4\n'
  const letters = ['"', '\\', '{', '}', '\n', ' ', '#', ',', '=', '\u0000', 'é', '1']
  for (let at = 0; at < page.length; at++) {
    for (const letter of [...letters, '']) {
      const changed = page.slice(0, at) + letter + page.slice(at + 1)
      try {
        parse(changed)
      } catch (error) {
        expect(error).toBeInstanceOf(PageError)
      }
    }
  }
})

test('a large page lets other work pass while it is read', async () => {
  const text = Array.from({ length: 5000 }, (_, index) => `a{b="${index}"} 1\n`).join('')
  let turns = 0
  const ticker = setInterval(() => {
    turns += 1
  }, 0)
  const write = () => ''
  const families = await parsePageInTurns(text, { write })
  clearInterval(ticker)
  expect(families[0]?.lines).toHaveLength(5000)
  expect(turns).toBeGreaterThan(1)
  await expect(parsePageInTurns('a 1\nb 2', { write })).rejects.toThrow(PageError)
})
