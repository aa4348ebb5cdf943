import { expect, test } from 'bun:test'
import { readReport } from './junit.ts'

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="bun test" tests="6" assertions="1" failures="2" skipped="3" time="0.03">
  <testsuite name="test/a.test.ts" file="test/a.test.ts" tests="5">
    <testcase name="ok" classname="" time="0.000006" file="test/a.test.ts" line="2" />
    <testcase name="&lt;x&gt; &amp; &quot;y&quot; (needs go)" classname="" file="test/a.test.ts">
      <skipped />
    </testcase>
    <testcase name="later" classname="" time="0" file="test/a.test.ts" line="4">
      <skipped message="TODO" />
    </testcase>
    <testsuite name="outer" file="test/a.test.ts" line="5" tests="2">
      <testcase name="bad" classname="inner &gt; outer" time="0.000167" file="test/a.test.ts">
        <failure type="AssertionError" message="&lt;testcase">a &lt;skipped /&gt;</failure>
      </testcase>
      <testcase name="in" classname="inner (skipped: no time) &gt; outer" file="test/a.test.ts">
        <skipped />
      </testcase>
    </testsuite>
  </testsuite>
  <testsuite name="test/b.test.ts" file="test/b.test.ts" tests="1">
    <testcase name="(unnamed)" classname="" time="0.000035" file="test/b.test.ts">
      <failure type="Error" message="in afterAll">Error</failure>
    </testcase>
  </testsuite>
</testsuites>`

test('a report is counted test by test', () => {
  const { passed, failed, skipped, files } = readReport(REPORT)
  const counts = { passed, failed: failed.length, skipped: skipped.length }
  expect(counts).toEqual({ passed: 1, failed: 2, skipped: 3 })
  expect([...files]).toEqual(['test/a.test.ts', 'test/b.test.ts'])
})

test('a failed test is listed with its error', () => {
  expect(readReport(REPORT).failed).toEqual([
    { file: 'test/a.test.ts', name: 'outer > inner > bad', error: 'a <skipped />' },
    { file: 'test/b.test.ts', name: '(unnamed)', error: 'Error' },
  ])
})

test('a test that took too long has its message for an error', () => {
  const failure = '<failure type="TimeoutError" message="test &quot;timed&quot; out" />'
  const xml = `<testcase name="late" classname="" file="a">${failure}</testcase>`
  expect(readReport(xml).failed).toEqual([{ file: 'a', name: 'late', error: 'test "timed" out' }])
})

test('a skipped test is listed with the reason in its name or in that of its group', () => {
  expect(readReport(REPORT).skipped).toEqual([
    { file: 'test/a.test.ts', name: '<x> & "y" (needs go)', reason: 'go' },
    { file: 'test/a.test.ts', name: 'later', reason: null },
    { file: 'test/a.test.ts', name: 'outer > inner (skipped: no time) > in', reason: 'no time' },
  ])
})

test('a report without tests counts nothing', () => {
  expect(readReport('<testsuites tests="0"></testsuites>')).toMatchObject({ passed: 0, failed: [] })
})
