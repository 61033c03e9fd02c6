"""Versions and events are added, never edited: the database refuses the rest."""

import django.db.models.deletion
from django.db import migrations, models

APPEND_ONLY = (
    "policyversion",
    "definitionchange",
    "goldversion",
    "goldversionrow",
    "labelevent",
    "adjudication",
)
REFUSE = """
CREATE FUNCTION annotation_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$
"""
TRIGGER = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON annotation_{0}
FOR EACH ROW EXECUTE FUNCTION annotation_refuse_change()
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0003_fill_gold_truths")]

    operations = [
        *(
            migrations.AlterField(
                model_name=name,
                name="policy_version",
                field=models.ForeignKey(
                    on_delete=django.db.models.deletion.PROTECT, to="annotation.policyversion"
                ),
            )
            for name in ("label", "labelevent")
        ),
        migrations.RunSQL(REFUSE, "DROP FUNCTION annotation_refuse_change()"),
        *(
            migrations.RunSQL(
                TRIGGER.format(table), f"DROP TRIGGER append_only ON annotation_{table}"
            )
            for table in APPEND_ONLY
        ),
    ]
