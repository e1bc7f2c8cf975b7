// Imported before the tests: they ask for a daemon whose cgroups systemd makes.
process.env.BERTH_TEST_DRIVER = 'systemd';
