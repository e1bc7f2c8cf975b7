import { eventsTests } from '../../harness/events-tests.ts';

eventsTests();
