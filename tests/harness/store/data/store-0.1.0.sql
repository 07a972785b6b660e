-- Tables and rows as version 0.1.0 wrote them (SQLite's own text of its CREATE statements).
CREATE TABLE evaluations (
	id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	space VARCHAR(64) NOT NULL, 
	variant VARCHAR(128) NOT NULL, 
	arch TEXT NOT NULL, 
	task VARCHAR(64) NOT NULL, 
	error FLOAT NOT NULL, 
	seconds FLOAT NOT NULL, 
	created_at DATETIME NOT NULL, 
	recipe JSON NOT NULL, 
	losses JSON NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_evaluations_key ON evaluations ("key");
CREATE TABLE measurements (
	id INTEGER NOT NULL, 
	"key" VARCHAR(64) NOT NULL, 
	space VARCHAR(64) NOT NULL, 
	variant VARCHAR(128) NOT NULL, 
	arch TEXT NOT NULL, 
	device VARCHAR(128) NOT NULL, 
	fingerprint VARCHAR(64) NOT NULL, 
	batch INTEGER NOT NULL, 
	backend VARCHAR(64) NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	reason VARCHAR(32), 
	message TEXT, 
	latency_ms FLOAT, 
	latency_p10_ms FLOAT, 
	latency_p90_ms FLOAT, 
	latency_ci_low_ms FLOAT, 
	latency_ci_high_ms FLOAT, 
	latency_n INTEGER, 
	energy_mj FLOAT, 
	memory_mb FLOAT, 
	max_abs_diff FLOAT, 
	artifact_sha256 VARCHAR(64) NOT NULL, 
	created_at DATETIME NOT NULL, 
	request JSON NOT NULL, 
	record JSON NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_measurements_key ON measurements ("key");
CREATE INDEX ix_measurements_device_space ON measurements (device, space, variant);
CREATE TABLE tables (
	id INTEGER NOT NULL, 
	device VARCHAR(128) NOT NULL, 
	space VARCHAR(64) NOT NULL, 
	variant VARCHAR(128) NOT NULL, 
	metric VARCHAR(32) NOT NULL, 
	unit VARCHAR(16) NOT NULL, 
	source TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	entries JSON NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_tables_device_space ON tables (device, space);
INSERT INTO measurements (id, "key", space, variant, arch, device, fingerprint, batch, backend, status, latency_ms, artifact_sha256, created_at, request, record)
VALUES (1, 'k1', 'nasbench201', 'v', 'a', 'cpu', 'f', 1, 'onnxruntime', 'ok', 1.5, '', '2026-01-02 03:04:05.000000', '{"options": {}}', '{"latency": {"median_ms": 1.5}}');
INSERT INTO measurements (id, "key", space, variant, arch, device, fingerprint, batch, backend, status, reason, message, artifact_sha256, created_at, request, record)
VALUES (2, 'k2', 'nasbench201', 'v', 'b', 'cpu', 'f', 1, 'onnxruntime', 'error', 'crashed', 'crashed with SIGSEGV', '', '2026-01-02 03:04:06.000000', '{}', '{}');
INSERT INTO evaluations VALUES (1, 'e1', 'nasbench201', 'v', 'a', 'digits', 12.5, 3.25, '2026-01-02 03:04:07.000000', '{"epochs": 1}', '[1.0, 0.5]');
INSERT INTO tables VALUES (1, 'board', 'nasbench201', 'v', 'latency', 'ms', 'my.csv', '2026-01-02 03:04:08.000000', '{"a": 1.25, "b": 2.5}');
